"""The published definitions of the corruptions for one image, by scipy, Pillow and plain loops.

Images are (H, W, 3), uint8; the result is float64, 0 to 255, rounded down where the published scripts store it. Each
takes the same random numbers as `residua.data.corruptions`, in the same order. A class may replace the tools.
"""

from __future__ import annotations

import colorsys
import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import scipy.stats
from PIL import Image

from residua.data.corruptions.draws import Draws

Array = npt.NDArray[Any]


class Tools:
    """What the published scripts take from OpenCV, scikit-image and ImageMagick, by scipy and loops."""

    def gaussian(self, image: Array, sigma: float, mode: str = "nearest", truncate: float = 4.0) -> Array:
        """Blur each channel of (H, W) or (H, W, 3)."""
        return scipy.ndimage.gaussian_filter(image, [sigma, sigma, 0][: image.ndim], mode=mode, truncate=truncate)

    def filter2d(self, plane: Array, kernel: Array) -> Array:
        """Correlate with a kernel; the image is mirrored without its edge."""
        return scipy.ndimage.correlate(plane, kernel, mode="mirror")

    def small_gaussian(self, plane: Array, size: int, sigma: float) -> Array:
        """Blur by a Gaussian cut to `size` points; mirrored without the edge."""
        offsets = np.arange(size) - size // 2
        weights = np.exp(-(offsets**2) / (2 * sigma**2))
        weights /= weights.sum()
        rows = scipy.ndimage.correlate1d(plane, weights, axis=0, mode="mirror")
        return scipy.ndimage.correlate1d(rows, weights, axis=1, mode="mirror")

    def affine(self, image: Array, source: Array, target: Array) -> Array:
        """Move three points of an image, in (x, y), to three others, bilinear, mirrored without the edge."""
        ones = np.ones((3, 1))
        back = np.linalg.solve(np.hstack([target, ones]), source).T  # (x, y, 1) of the result -> (x, y) of the image
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        across, down = (row[0] * x + row[1] * y + row[2] for row in back)
        planes = [
            scipy.ndimage.map_coordinates(image[..., c], [down, across], order=1, mode="mirror") for c in range(3)
        ]
        return np.stack(planes, axis=2)

    def lighter(self, image: Array, added: float) -> Array:
        """Add to the value in HSV."""
        out = np.empty_like(image)
        for place in np.ndindex(image.shape[:2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*image[place])
            out[place] = colorsys.hsv_to_rgb(hue, saturation, min(value + added, 1))
        return out

    def salt_and_pepper(self, image: Array, amount: float, draws: Draws) -> Array:
        """Set a share of the values to 0 or 1."""
        flipped, salted = (draws.uniform(3, *image.shape[:2])[0].transpose(1, 2, 0) for _ in range(2))
        out = image.copy()
        out[(flipped <= amount) & (salted <= 0.5)] = 1
        out[(flipped <= amount) & (salted > 0.5)] = 0
        return out

    def motion(self, image: Array, radius: int, sigma: float, angle: float) -> Array:
        """Blur along a line as ImageMagick does, pixel by pixel's rule, and round to whole levels."""
        width = 2 * radius + 1
        weights = np.array([math.exp(-(i**2) / (2 * sigma**2)) for i in range(width)])
        weights /= weights.sum()
        dx, dy = math.cos(math.radians(angle)) * width, math.sin(math.radians(angle)) * width
        length = math.hypot(dx, dy)
        out = np.zeros(image.shape)
        rows, columns = np.arange(image.shape[0]), np.arange(image.shape[1])
        for i, weight in enumerate(weights):
            y = np.clip(rows + math.ceil(i * dy / length - 0.5), 0, len(rows) - 1)
            x = np.clip(columns + math.ceil(i * dx / length - 0.5), 0, len(columns) - 1)
            out += weight * image[y][:, x]
        return np.floor(out + 0.5)


def zoomed(image: Array, factor: float) -> Array:
    """Zoom into the middle of (H, W, C)."""
    height, width = image.shape[:2]
    tall, wide = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - tall) // 2, (width - wide) // 2
    large = scipy.ndimage.zoom(image[top : top + tall, left : left + wide], (factor, factor, 1), order=1)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return large[top : top + height, left : left + width]


def plasma(draws: Draws, side: int, decay: float) -> Array:
    """Return a plasma fractal by the diamond-square method, point by point."""
    points = np.zeros((side, side))
    step, wibble = side, 100.0
    while step >= 2:
        half, count = step // 2, side // step
        noise = [wibble * (2 * wibble * draws.uniform(count, count)[0] - wibble) for _ in range(3)]
        for i in range(count):
            for j in range(count):
                y, x = i * step, j * step
                corners = [points[y, x], points[(y + step) % side, x]]
                corners += [points[y, (x + step) % side], points[(y + step) % side, (x + step) % side]]
                points[y + half, x + half] = sum(corners) / 4 + noise[0][i, j]
        middle = {(i, j): points[i * step + half, j * step + half] for i in range(count) for j in range(count)}
        for i in range(count):
            for j in range(count):
                y, x = i * step, j * step
                ends = points[y, x] + points[y, (x + step) % side]
                points[y, x + half] = (ends + middle[i, j] + middle[(i - 1) % count, j]) / 4 + noise[1][i, j]
                ends = points[y, x] + points[(y + step) % side, x]
                points[y + half, x] = (ends + middle[i, j] + middle[i, (j - 1) % count]) / 4 + noise[2][i, j]
        step, wibble = half, wibble / decay
    points -= points.min()
    return points / points.max()


def defined(name: str, image: Array, c: Any, draws: Draws, tools: Tools) -> Array:
    """Return an image corrupted as published, float64 from 0 to 255; uint8 follows by rounding down."""
    height, width = image.shape[:2]
    x = image / 255.0

    def drawn(*shape: int) -> Array:
        return draws.normal(*shape)[0]

    match name:
        case "gaussian_noise":
            out = x + c * drawn(3, height, width).transpose(1, 2, 0)
        case "shot_noise":
            chance = draws.uniform(3, height, width)[0].transpose(1, 2, 0)
            out = np.where(image > 0, scipy.stats.poisson.ppf(chance, np.maximum(x * c, 1e-12)), 0) / c
        case "impulse_noise":
            out = tools.salt_and_pepper(x, c, draws)
        case "defocus_blur":
            places, size = (np.arange(-8, 9), 3) if c[0] <= 8 else (np.arange(-c[0], c[0] + 1), 5)
            disk = (places[:, None] ** 2 + places**2 <= c[0] ** 2).astype(np.float64)
            kernel = tools.small_gaussian(disk / disk.sum(), size, c[1])
            out = np.stack([tools.filter2d(x[..., channel], kernel) for channel in range(3)], axis=2)
        case "glass_blur":
            out = _glass(x, *c, draws, tools)
        case "motion_blur":
            return tools.motion(image.astype(np.float64), *c, draws.between(-45, 45, 1)[0, 0])
        case "zoom_blur":
            factors = np.arange(1, *c)
            out = (x + sum(zoomed(x.astype(np.float32), factor) for factor in factors)) / (len(factors) + 1)
        case "snow":
            layer = zoomed((c[0] + c[1] * drawn(height, width))[..., None], c[2])[..., 0]
            layer[layer < c[3]] = 0
            layer = (np.clip(layer, 0, 1) * 255).astype(np.uint8).astype(np.float64)
            layer = tools.motion(layer, c[4], c[5], draws.between(-135, -45, 1)[0, 0])[..., None] / 255
            grey = (x @ [0.299, 0.587, 0.114])[..., None]
            out = c[6] * x + (1 - c[6]) * np.maximum(x, grey * 1.5 + 0.5) + layer + np.rot90(layer, k=2)
        case "fog":
            side = 2 ** math.ceil(math.log2(max(height, width)))
            clouds = plasma(draws, side, c[1])[:height, :width, None]
            out = (x + c[0] * clouds) * x.max() / (x.max() + c[0])
        case "brightness":
            out = tools.lighter(x, c)
        case "contrast":
            means = x.mean(axis=(0, 1), keepdims=True)
            out = (x - means) * c + means
        case "elastic_transform":
            out = _elastic(x, *c, draws, tools)
        case "pixelate":
            small = Image.fromarray(image).resize((int(width * c), int(height * c)), Image.Resampling.BOX)
            return np.asarray(small.resize((width, height), Image.Resampling.BOX), np.float64)
        case "jpeg_compression":
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "JPEG", quality=c)
            return np.asarray(Image.open(stream), np.float64)
    return np.clip(out, 0, 1) * 255


def _glass(x: Array, sigma: float, reach: int, passes: int, draws: Draws, tools: Tools) -> Array:
    height, width = x.shape[:2]
    pixels = (tools.gaussian(x, sigma) * 255).astype(np.uint8)
    rows, columns = range(height - reach, reach, -1), range(width - reach, reach, -1)
    for _ in range(passes):
        moves = draws.integers(-reach, reach, len(rows), len(columns), 2)[0]
        for i, h in enumerate(rows):
            for j, w in enumerate(columns):
                # The published exchange of two views: the second assignment finds the first one done.
                first, second = pixels[h, w], pixels[h + moves[i, j, 1], w + moves[i, j, 0]]
                first[:], second[:] = second, first
    return tools.gaussian(pixels / 255.0, sigma)


def _elastic(x: Array, strength: float, sigma: float, reach: float, draws: Draws, tools: Tools) -> Array:
    height, width = x.shape[:2]
    centre, third = np.array([width // 2, height // 2]), min(height, width) // 3
    source = centre + third * np.array([[1, 1], [1, -1], [-1, -1]])
    target = source.astype(np.float32) + draws.between(-reach, reach, 3, 2)[0].astype(np.float32)
    warped = tools.affine(x.astype(np.float32), source.astype(np.float32), target)
    fields = draws.between(-1, 1, 2, height, width)[0]
    right, down = (strength * tools.gaussian(each, sigma, mode="reflect", truncate=3) for each in fields)
    lines, places = np.mgrid[:height, :width]
    planes = [
        scipy.ndimage.map_coordinates(warped[..., c], [lines + down, places + right], order=1, mode="reflect")
        for c in range(3)
    ]
    return np.stack(planes, axis=2)
