"""A map of evidence over its image: colours, transparency, sizes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
ANCHORS = (
    (27, 33, 112), (69, 43, 143), (115, 42, 155), (151, 28, 150), (178, 8, 139), (200, 4, 125), (220, 1, 113),
    (237, 22, 98), (248, 49, 82), (252, 75, 67), (252, 98, 52), (248, 120, 38), (243, 142, 26), (243, 167, 23),
    (245, 195, 35), (246, 222, 71), (250, 246, 116),
)  # fmt: skip
"""The colour map from no evidence to most: sRGB values, interpolated linearly. The steps are equal in CIELAB and the
lightness only rises (18 to 95), so that it reads the same in grey; a test proves it."""

_TABLE = np.array(ANCHORS, np.float64)
_LEAST, _MOST = 0.12, 0.72
"""Opacity without evidence, just enough to distinguish overlay and image, and with the most evidence."""
_TOP = 0.99  # quantile that is drawn as the greatest: one outlier would dim the whole map


def coloured(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Map values in 0..1, of any shape, to colours (…, 3) in 0..255."""
    places = np.linspace(0, 1, len(_TABLE))
    return np.stack([np.interp(values, places, _TABLE[:, channel]) for channel in range(3)], axis=-1)


def scaled(evidence: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Scale a map (H, W) ≥ 0 to 0..1: its 99th percentile, and all above it, becomes 1.

    A few extreme pixels then do not hide the rest (Smilkov et al. 2017, section 3.1). A map without evidence stays 0.
    """
    values = np.asarray(evidence, np.float64)
    top = np.quantile(values, _TOP) or values.max()
    return np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)


def shown(pixels: Pixels, side: int) -> Image.Image:
    """Return an image (H, W, 3) at about `side` pixels: small ones with whole pixels repeated, large ones resized."""
    height, width = pixels.shape[:2]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if max(height, width) <= side:
        times = side // max(height, width)
        return picture.resize((times * width, times * height), Image.Resampling.NEAREST)
    size = round(side * width / max(height, width)), round(side * height / max(height, width))
    return picture.resize((max(1, size[0]), max(1, size[1])), Image.Resampling.BICUBIC)


def overlay(pixels: Pixels, evidence: npt.NDArray[np.floating], side: int) -> Image.Image:
    """Lay a map (H, W) ≥ 0 over its image, uint8 (H, W, 3), the larger side about `side` pixels.

    The map is enlarged bilinearly. The more evidence, the less of the image shows through. The image is drawn in grey:
    every colour belongs to the map.
    """
    picture = shown(pixels, side)
    field = Image.fromarray(scaled(evidence).astype(np.float32))
    values = np.asarray(field.resize(picture.size, Image.Resampling.BILINEAR), np.float64)
    opacity = (_LEAST + (_MOST - _LEAST) * values)[..., None]
    grey = np.asarray(picture.convert("L"), np.float64)[..., None]
    mixed = opacity * coloured(values) + (1 - opacity) * grey
    return Image.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
