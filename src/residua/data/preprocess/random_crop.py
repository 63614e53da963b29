"""Random resized crops (Szegedy 2015): boxes of random area and aspect, and the images cut by them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from residua.data.decode import EncodedImage, Pixels
from residua.data.random import uniforms
from residua.specs.augment import AugmentSpec

FIRST_BOX_COLUMN = 13
"""The first of a box's numbers among the random numbers of an image; see `residua.data.augment`."""
_ATTEMPTS = 10  # torchvision's RandomResizedCrop tries as often before it falls back
END_BOX_COLUMN = FIRST_BOX_COLUMN + 2 * _ATTEMPTS + 2
"""One past the last of them."""


class Box(NamedTuple):
    """A rectangle inside an image, pixels."""

    top: int
    left: int
    height: int
    width: int


Fit = Callable[[int, int], Box]
"""(height, width) of an image, pixels -> its box."""


def box_uniforms(seed: int, epoch: int, indices: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the numbers that the boxes of these images come from, float32 (B, 35)."""
    return uniforms(seed, epoch, indices, END_BOX_COLUMN)


class Boxes:
    """The random boxes of a batch. Areas, aspects and places are drawn at once; `fit` scales them to one image.

    The first of ten draws of area and aspect that fits is taken; when none does, the largest centred box of a legal
    aspect.

    Args:
        table: `box_uniforms`, or one with more columns.
        spec: has the ranges of area and aspect.
    """

    def __init__(self, table: npt.NDArray[np.float32], spec: AugmentSpec) -> None:
        draws = table[:, FIRST_BOX_COLUMN:END_BOX_COLUMN].astype(np.float64)
        (low, high), (start, stop) = spec.scale, np.log(spec.ratio)
        self._shares = (low + (high - low) * draws[:, 0:-2:2]).tolist()
        self._aspects = np.exp(start + (stop - start) * draws[:, 1:-2:2]).tolist()
        self._places = draws[:, -2:].tolist()
        self._ratio = spec.ratio

    def fit(self, row: int, height: int, width: int) -> Box:
        """Return the box of image `row` of the batch, which has this size in pixels."""
        area = height * width
        for share, aspect in zip(self._shares[row], self._aspects[row], strict=True):
            wide, tall = round(math.sqrt(area * share * aspect)), round(math.sqrt(area * share / aspect))
            if 1 <= wide <= width and 1 <= tall <= height:
                down, right = self._places[row]
                return Box(math.floor(down * (height - tall + 1)), math.floor(right * (width - wide + 1)), tall, wide)
        aspect = min(max(width / height, self._ratio[0]), self._ratio[1])
        tall, wide = max(min(height, round(width / aspect)), 1), max(min(width, round(height * aspect)), 1)
        return Box((height - tall) // 2, (width - wide) // 2, tall, wide)


def random_boxes(table: npt.NDArray[np.float32], height: int, width: int, spec: AugmentSpec) -> npt.NDArray[np.int64]:
    """Return int64 (B, 4), top, left, height, width, of images of one size in pixels; see `Boxes`."""
    boxes = Boxes(table, spec)
    return np.array([boxes.fit(row, height, width) for row in range(len(table))], np.int64).reshape(-1, 4)


def crop_of_encoded(encoded: EncodedImage, fit: Fit, side: int, interpolation: str) -> Pixels:
    """Crop and resize to uint8 (side, side, 3); decode only as finely as that needs.

    Raises:
        BadImage: the image does not decode.
    """
    height, width = encoded.size
    box = fit(height, width)
    least = math.ceil(side * height / box.height), math.ceil(side * width / box.width)
    image = encoded.decode((min(least[0], height), min(least[1], width)))
    y, x = image.shape[0] / height, image.shape[1] / width
    box = Box(round(box.top * y), round(box.left * x), max(round(box.height * y), 1), max(round(box.width * x), 1))
    return crop_resize(image, box, side, interpolation)


def crop_resize(image: Pixels, box: Box, side: int, interpolation: str) -> Pixels:
    """Crop and resize with antialias: uint8 (H, W, 3) -> (side, side, 3).

    torch's resize of channels-last uint8 takes a quarter of Pillow's time. The two differ by at most one level in most
    pixels: training does not notice, and evaluation never sees it.
    """
    bottom, right = box.top + box.height, box.left + box.width
    part = torch.from_numpy(np.array(image[box.top : bottom, box.left : right]))
    # torch has these two filters alone with antialias: the others are trained with the nearest of them.
    mode = "bicubic" if interpolation in ("bicubic", "lanczos") else "bilinear"
    # In this order of steps the one image counts as channels-last, and so does the result.
    resized = torch.nn.functional.interpolate(
        part[None].permute(0, 3, 1, 2), (side, side), mode=mode, antialias=True, align_corners=False
    )
    result: Pixels = resized[0].permute(1, 2, 0).numpy()
    return result
