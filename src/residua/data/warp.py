"""Shift, rotation, shear and zoom as one affine map, bilinear: the arithmetic of Keras's ImageDataGenerator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from residua.data.preprocess.sending import to_device

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Moves:
    """How far each image of a batch is moved; every array is float64 (B,).

    Attributes:
        rows: pixels down in the image for each place of the result.
        columns: pixels to the right, likewise.
        rotation: radians.
        shear: radians.
        row_zoom: rows of the image per row of the result.
        column_zoom: columns of the image per column of the result.
    """

    rows: Floats
    columns: Floats
    rotation: Floats
    shear: Floats
    row_zoom: Floats
    column_zoom: Floats


def coordinates(moves: Moves, height: int, width: int) -> tuple[Floats, Floats]:
    """Return the rows and columns of the image, each float64 (B, H, W), that places of the result are read from.

    The map is rotation · shift · shear · zoom about the centre, multiplied in that order, as `apply_affine_transform`
    of Keras does. Its first axis is that of the columns.
    """
    cosine, sine = np.cos(moves.rotation), np.sin(moves.rotation)
    lean, slant = -np.sin(moves.shear), np.cos(moves.shear)
    # Shear times zoom, then the rotation over it; the shift comes between the two and is rotated too.
    xx, xy = moves.column_zoom, lean * moves.row_zoom
    yy = slant * moves.row_zoom
    matrix = (cosine * xx, cosine * xy - sine * yy, sine * xx, sine * xy + cosine * yy)
    right = cosine * moves.columns - sine * moves.rows
    down = sine * moves.columns + cosine * moves.rows
    x, y = np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2
    x, y = x[None, None, :], y[None, :, None]
    a, b, c, d, right, down = (each[:, None, None] for each in (*matrix, right, down))
    return c * x + d * y + down + (height - 1) / 2, a * x + b * y + right + (width - 1) / 2


def sample(images: torch.Tensor, rows: Floats, columns: Floats, fill: str, fill_value: float) -> torch.Tensor:
    """Return float32 (B, 3, S, T): images (B, 3, H, W) read between their pixels, bilinear.

    Args:
        images: of any type.
        rows: (B, S, T), in pixels from the first row's centre on.
        columns: likewise.
        fill: what stands beyond the edges; see `AugmentSpec`.
        fill_value: of `fill="constant"`.
    """
    batch, channels, height, width = images.shape
    device = images.device
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels).to(torch.float32)
    above, below, y = _taps(rows, height, fill)
    left, right, x = _taps(columns, width, fill)
    first = (np.arange(batch) * (height * width))[:, None, None]
    out = torch.zeros((rows.size, channels), device=device)
    for row, row_weight in ((above, 1 - y), (below, y)):
        for column, column_weight in ((left, 1 - x), (right, x)):
            places = to_device((first + row * width + column).reshape(-1), device)
            weights = to_device((row_weight * column_weight).astype(np.float32).reshape(-1, 1), device)
            out.addcmul_(pixels.index_select(0, places), weights)
    if fill == "constant":
        outside = (rows < 0) | (rows > height - 1) | (columns < 0) | (columns > width - 1)
        out[to_device(outside.reshape(-1), device)] = fill_value
    return out.view(batch, *rows.shape[1:], channels).permute(0, 3, 1, 2)


def _taps(places: Floats, size: int, fill: str) -> tuple[Integers, Integers, Floats]:
    """Return the two lines around each place and the weight of the second.

    The rules beyond the edges are those of scipy.ndimage, which Keras calls: "wrap" has a period of `size` - 1.
    """
    if fill == "reflect":
        start = np.floor(places)
        first = start.astype(np.int64)
        return _mirrored(first, size), _mirrored(first + 1, size), places - start
    if fill == "wrap" and size > 1:
        inside = (places >= 0) & (places <= size - 1)
        places = np.where(inside, places, np.mod(places, size - 1))
    places = np.clip(places, 0, size - 1)
    start = np.floor(places)
    first = start.astype(np.int64)
    return first, np.minimum(first + 1, size - 1), places - start


def _mirrored(lines: Integers, size: int) -> Integers:
    """Return the lines of an image that is repeated mirrored: c b a | a b c | c b a."""
    within = np.mod(lines, 2 * size)
    mirrored: Integers = np.minimum(within, 2 * size - 1 - within)
    return mirrored
