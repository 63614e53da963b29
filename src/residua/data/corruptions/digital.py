"""Digital: less contrast, elastic distortion, coarse pixels, JPEG."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from residua.data.corruptions.draws import Draws, Floats
from residua.data.corruptions.planes import Bytes, as_bytes, between_pixels, gaussian_blur, levels


def contrast(images: Bytes, factor: float, draws: Draws) -> Bytes:
    """Scale the distance of each value from its channel's mean."""
    shares = levels(images)
    means = shares.mean(axis=(2, 3), keepdims=True)
    return as_bytes((shares - means) * factor + means)


def elastic_transform(images: Bytes, constant: tuple[float, float, float], draws: Draws) -> Bytes:
    """Move three points at random, the image with them, then each pixel by a smooth random field.

    Both times the image is read between its pixels, bilinear.
    """
    strength, sigma, reach = constant
    height, width = images.shape[2:]
    moved = draws.between(-reach, reach, 3, 2)
    fields = draws.between(-1, 1, 2, height, width)
    y, x = np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)
    rows, columns = _affine(moved, y, x)
    warped = between_pixels(levels(images), rows, columns, mirrored=False)
    if strength:
        right, down = np.moveaxis(gaussian_blur(fields, sigma, truncate=3, mirrored=True) * strength, 1, 0)
        warped = between_pixels(warped, y + down, x + right, mirrored=True)
    return as_bytes(warped)


def pixelate(images: Bytes, factor: float, draws: Draws) -> Bytes:
    """Scale down by a factor and up again, by Pillow's box filter."""
    height, width = images.shape[2:]
    small = int(width * factor), int(height * factor)
    return _by_pillow(
        images, lambda image: image.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)
    )


def jpeg_compression(images: Bytes, quality: int, draws: Draws) -> Bytes:
    """Encode as JPEG of a quality, and decode, both by Pillow."""

    def compressed(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        return Image.open(stream)

    return _by_pillow(images, compressed)


def _by_pillow(images: Bytes, change: Callable[[Image.Image], Image.Image]) -> Bytes:
    pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    changed = np.stack([np.asarray(change(Image.fromarray(each))) for each in pixels])
    return changed.transpose(0, 3, 1, 2)


def _affine(moved: Floats, y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return rows and columns (B, H, W) to read: the affine map that takes three moved points back.

    Args:
        moved: (B, 3, 2), by how many pixels to the right and down each point is moved.
        y: (H, 1).
        x: (W,).
    """
    height, width = len(y), len(x)
    centre, third = np.array([width // 2, height // 2], np.float64), min(height, width) // 3
    points = centre + third * np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    # Single precision, in which the published points are.
    targets = (points.astype(np.float32) + moved.astype(np.float32)).astype(np.float64)
    homogeneous = np.concatenate([targets, np.ones((len(moved), 3, 1))], axis=2)
    solution = np.linalg.solve(homogeneous, np.broadcast_to(points, targets.shape))
    along, down, constant = (solution[:, row, :, None, None] for row in range(3))
    places = along * x + down * y + constant
    return places[:, 1], places[:, 0]
