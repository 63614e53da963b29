"""What corruptions share: planes of levels, blurs and zooms as products with matrices, reading between pixels."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from residua.data.corruptions.draws import Floats

Bytes = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]


def levels(images: Bytes) -> Floats:
    """Return uint8 (B, C, H, W) as float64 from 0 to 1."""
    shares: Floats = np.ascontiguousarray(images, np.float64) / 255
    return shares


def as_bytes(shares: Floats | Singles) -> Bytes:
    """Return levels as uint8, clipped to 0..1 and rounded down, as the published images are."""
    return (np.clip(shares, 0, 1) * 255).astype(np.uint8)


def both_axes(planes: Floats, rows: Floats, columns: Floats) -> Floats:
    """Return rows · plane · columnsᵀ of each plane of (..., H, W)."""
    product: Floats = np.matmul(np.matmul(rows, planes), columns.T)
    return product


def gaussian_blur(planes: Floats, sigma: float, *, truncate: float, mirrored: bool) -> Floats:
    """Return planes (..., H, W) blurred by a Gaussian.

    Args:
        planes: the levels.
        sigma: its deviation, pixels.
        truncate: it is cut off at so many deviations.
        mirrored: whether the image goes on mirrored beyond its edges (d c b a | a b c d); else the edge repeated.
    """
    height, width = planes.shape[-2:]
    if _radius(sigma, truncate) == 0:
        return planes
    rows, columns = (_blurring(side, sigma, truncate, mirrored) for side in (height, width))
    return both_axes(planes, rows, columns)


def _radius(sigma: float, truncate: float) -> int:
    return int(truncate * sigma + 0.5)


@functools.lru_cache(maxsize=32)
def _blurring(side: int, sigma: float, truncate: float, mirrored: bool) -> Floats:
    """Return the matrix (S, S) that blurs a line, with the rules beyond the edges in it."""
    radius = _radius(sigma, truncate)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    taps = np.arange(side)[:, None] + offsets
    if mirrored:
        within = np.mod(taps, 2 * side)
        taps = np.minimum(within, 2 * side - 1 - within)
    else:
        taps = np.clip(taps, 0, side - 1)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (np.repeat(np.arange(side), len(offsets)), taps.ravel()), np.tile(weights, side))
    return matrix


@functools.lru_cache(maxsize=128)
def zooming(side: int, factor: float) -> Floats:
    """Return the matrix (S, S) that zooms into the middle of a line, linear, by a factor of at least 1."""
    seen = math.ceil(side / factor)
    first, zoomed = (side - seen) // 2, round(seen * factor)
    places = (np.arange(side) + (zoomed - side) // 2) * ((seen - 1) / (zoomed - 1))
    places = np.minimum(places, seen - 1)
    start = np.minimum(np.floor(places).astype(np.int64), max(seen - 2, 0))
    share = places - start
    matrix = np.zeros((side, side))
    lines = np.arange(side)
    matrix[lines, first + start] = 1 - share
    matrix[lines, np.minimum(first + start + 1, side - 1)] += share
    return matrix


def between_pixels(planes: Floats, rows: Floats, columns: Floats, *, mirrored: bool) -> Floats:
    """Return planes (B, C, H, W) read between their pixels, bilinear, at places (B, H, W) in pixels.

    Args:
        planes: the levels.
        rows: where to read.
        columns: likewise.
        mirrored: whether the edge itself is repeated by the mirror (b a | a b); else it is not (c b | a b).
    """
    batch, channels, height, width = planes.shape
    above, left = np.floor(rows), np.floor(columns)
    down, right = (rows - above)[:, None], (columns - left)[:, None]
    lines = [_folded(above.astype(np.int64) + step, height, mirrored) for step in (0, 1)]
    across = [_folded(left.astype(np.int64) + step, width, mirrored) for step in (0, 1)]
    flat = planes.reshape(batch, channels, height * width)

    def read(row: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> Floats:
        places = (row * width + column).reshape(batch, 1, -1)
        taken: Floats = np.take_along_axis(flat, places, axis=2).reshape(batch, channels, *row.shape[1:])
        return taken

    upper = read(lines[0], across[0]) * (1 - right) + read(lines[0], across[1]) * right
    lower = read(lines[1], across[0]) * (1 - right) + read(lines[1], across[1]) * right
    mixed: Floats = upper * (1 - down) + lower * down
    return mixed


def _folded(lines: npt.NDArray[np.int64], side: int, mirrored: bool) -> npt.NDArray[np.int64]:
    period = 2 * side if mirrored else 2 * (side - 1)
    within = np.mod(lines, period)
    folded: npt.NDArray[np.int64] = np.minimum(within, period - within - (1 if mirrored else 0))
    return folded


def motion_blurred(planes: Floats, radius: int, sigma: float, angle: float) -> Floats:
    """Return the planes (C, H, W) of one image blurred along a line to one side, as ImageMagick does.

    The line has 2 · radius + 1 points with the weights of half a Gaussian; beyond the edges the edge is repeated.

    Args:
        planes: the levels.
        radius: pixels.
        sigma: deviation, pixels.
        angle: of the line, degrees.
    """
    height, width = planes.shape[1:]
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    turn = math.radians(angle)
    down = np.ceil(steps * math.sin(turn) - 0.5).astype(int)
    right = np.ceil(steps * math.cos(turn) - 0.5).astype(int)
    reach = 2 * radius
    padded = np.pad(planes, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    blurred = np.zeros_like(planes)
    for weight, y, x in zip(weights.tolist(), (down + reach).tolist(), (right + reach).tolist(), strict=True):
        blurred += weight * padded[:, y : y + height, x : x + width]
    return blurred
