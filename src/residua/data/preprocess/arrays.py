"""Normalise with NumPy, for servers that do without torch: the same numbers as torch's, to the bit where it can be."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from residua.data.decode import Pixels
from residua.specs.pixel_array import PixelArray
from residua.specs.preprocess import STD_EPSILON, PreprocessSpec

Floats = npt.NDArray[np.float32]


def normalised_array(images: Pixels, spec: PreprocessSpec) -> Floats:
    """Normalise uint8 (B, H, W, 3) of `spec.size`: float32 (B, H, W, 3), as `normalise` does, channels innermost.

    The result is that of `normalise` bit for bit, except with `image_center`, `image_std` or `whitening`. These sum
    over an image, in another order: some units in the last place differ.
    """
    values = images.astype(np.float32)
    by_image = spec.image_center or spec.image_std
    if by_image:
        values = _by_own_numbers(values, spec)
    white = 1 if by_image else 255
    scale = np.array([1 / (white * deviation) for deviation in spec.std], np.float32)
    # One pass over whole lines of pixels: NumPy's loop over three channels takes three times as long.
    lines = values.reshape(*values.shape[:2], -1)
    lines *= np.tile(scale, spec.width)
    lines += _offset(spec)
    if spec.whitening is not None:
        values = (values.reshape(len(values), -1) @ _numbers(spec.whitening)).reshape(values.shape)
    return values


def _offset(spec: PreprocessSpec) -> Floats:
    """Return -mean / deviation as lines of pixels: (H, W · 3) of a mean image, else (1, W · 3)."""
    if spec.mean_image is None:
        offset = np.array([-m / d for m, d in zip(spec.mean, spec.std, strict=True)], np.float32)
        return np.tile(offset, spec.width)[None]
    return (_numbers(spec.mean_image) / -np.array(spec.std, np.float32)).reshape(spec.height, -1)


def _by_own_numbers(values: Floats, spec: PreprocessSpec) -> Floats:
    """Scale levels (B, H, W, 3) to [0, 1], then centre and divide each image by its own numbers."""
    values *= np.float32(1 / 255)
    axes = (1, 2, 3)
    if spec.image_center:
        values -= values.mean(axes, keepdims=True)
    if spec.image_std:
        values /= values.std(axes, keepdims=True) + np.float32(STD_EPSILON)
    return values


@lru_cache(4)
def _numbers(array: PixelArray) -> Floats:
    """Return the numbers as an array; a matrix that whitens is too large to be copied for every batch."""
    return np.array(array.view())
