"""RandAugment, TrivialAugment and AugMix: image by image on the processor, from the image's own random numbers."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from residua.data.policies.operations import OPERATIONS
from residua.specs.augment import MOST_OPERATIONS, AugmentSpec

Row = npt.NDArray[np.float32]
_BINS = 31  # magnitudes from 0 to 30
_NEAREST, _BILINEAR = Image.Resampling.NEAREST, Image.Resampling.BILINEAR
# AugMix: chains, operations of the longest, and numbers that an operation reads: which, how much, which sign.
_WIDTH, _DEPTH, _DRAWS = 3, 3, 3
COLUMNS = max(2 * MOST_OPERATIONS, 1 + 2 * _WIDTH + _WIDTH * _DEPTH * _DRAWS)
"""Random numbers per image that a policy reads at most."""

_SIGNED = frozenset(
    {"shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast", "sharpness"}
)
# The operations of AugMix: those that ImageNet-C does not test (Hendrycks 2020, section 3).
_MIXED = (
    "autocontrast",
    "equalize",
    "posterize",
    "rotate",
    "solarize",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)


def apply_policy(pixels: npt.NDArray[np.uint8], spec: AugmentSpec, rows: Row) -> npt.NDArray[np.uint8 | np.float32]:
    """Return the images changed by the policy of `spec`: uint8 (B, S, S, 3), float32 in 0..255 for AugMix.

    Args:
        pixels: uint8 (B, S, S, 3).
        spec: has one of the policies.
        rows: float32 (B, `COLUMNS`) in [0, 1), the random numbers of each image.
    """
    images = zip(pixels, rows, strict=True)
    if spec.augmix:
        return np.stack([_augmix(image, row, spec.augmix) for image, row in images])
    if spec.trivialaugment:
        return np.stack([np.asarray(_trivial(Image.fromarray(image), row)) for image, row in images])
    count, magnitude = spec.randaugment, spec.randaugment_magnitude
    return np.stack([np.asarray(_rand(Image.fromarray(image), row, count, magnitude)) for image, row in images])


def _rand(image: Image.Image, row: Row, count: int, magnitude: int) -> Image.Image:
    """Apply `count` operations in turn, each drawn among 14, all of one magnitude (Cubuk 2019, section 3)."""
    space = randaugment_space(image.height, image.width)
    for which, sign in row[: 2 * count].reshape(count, 2).tolist():
        name = list(space)[int(which * len(space))]
        image = OPERATIONS[name](image, _sized(name, space[name][magnitude], sign), _NEAREST)
    return image


def _trivial(image: Image.Image, row: Row) -> Image.Image:
    """Apply one operation of a random magnitude (Müller & Hutter 2021, the wide space)."""
    space = trivialaugment_space()
    which, bin_, sign = row[:3].tolist()
    name = list(space)[int(which * len(space))]
    return OPERATIONS[name](image, _sized(name, space[name][int(bin_ * _BINS)], sign), _NEAREST)


def _augmix(pixels: npt.NDArray[np.uint8], row: Row, severity: int) -> npt.NDArray[np.float32]:
    """Mix the image with three chains of one to three operations each (Hendrycks 2020, algorithm 1).

    Weights are Dirichlet(1, 1, 1), that of the mix against the image Beta(1, 1).
    """
    share = float(row[0])
    weights = -np.log1p(-row[1 : 1 + _WIDTH].astype(np.float64))
    weights /= weights.sum()
    depths = 1 + (row[1 + _WIDTH : 1 + 2 * _WIDTH] * _DEPTH).astype(int)
    draws = row[1 + 2 * _WIDTH : 1 + 2 * _WIDTH + _WIDTH * _DEPTH * _DRAWS].reshape(_WIDTH, _DEPTH, _DRAWS)
    mixed = (1 - share) * pixels.astype(np.float64)
    for weight, depth, chain in zip(weights.tolist(), depths.tolist(), draws.tolist(), strict=True):
        image = Image.fromarray(pixels)
        for which, level, sign in chain[:depth]:
            name = _MIXED[int(which * len(_MIXED))]
            size = augmix_size(name, 0.1 + (severity - 0.1) * level, pixels.shape[0])
            image = OPERATIONS[name](image, _sized(name, size, sign), _BILINEAR)
        mixed += share * weight * np.asarray(image, np.float64)
    return mixed.astype(np.float32)


def _sized(name: str, size: float, sign: float) -> float:
    return -size if name in _SIGNED and sign < 0.5 else size


@functools.lru_cache(maxsize=16)
def randaugment_space(height: int, width: int) -> dict[str, tuple[float, ...]]:
    """Return the sizes by operation and magnitude 0 to 30 (Cubuk 2019; torchvision's RandAugment has the same)."""
    return _space(0.3, 150 / 331 * width, 150 / 331 * height, 30, 0.9, 4)


@functools.lru_cache(maxsize=1)
def trivialaugment_space() -> dict[str, tuple[float, ...]]:
    """Return the sizes of the wide space (Müller & Hutter 2021, table 1; torchvision's TrivialAugmentWide)."""
    return _space(0.99, 32, 32, 135, 0.99, 6)


def _space(
    shear: float, across: float, down: float, angle: float, enhancement: float, bits: int
) -> dict[str, tuple[float, ...]]:
    """Return sizes from none to the given ones in 31 steps."""

    def rising(most: float) -> tuple[float, ...]:
        # In single precision, as torchvision has them: 1 - 0.99 of 200 is a level more or less.
        return tuple(torch.linspace(0.0, most, _BINS).tolist())

    still = (0.0,) * _BINS
    enhanced = dict.fromkeys(("brightness", "color", "contrast", "sharpness"), rising(enhancement))
    return {
        "identity": still,
        "shear_x": rising(shear),
        "shear_y": rising(shear),
        "translate_x": rising(across),
        "translate_y": rising(down),
        "rotate": rising(angle),
        **enhanced,
        "posterize": tuple(8.0 - round(step / ((_BINS - 1) / bits)) for step in range(_BINS)),
        "solarize": rising(255)[::-1],
        "autocontrast": still,
        "equalize": still,
    }


def augmix_size(name: str, level: float, side: int) -> float:
    """Return the size of an operation for a level from 0.1 to below 10, by the rules of the published code.

    Args:
        name: one of the nine operations.
        level: drawn up to the severity.
        side: of the image, pixels.
    """
    share = level / 10
    sizes = {
        "posterize": 4 - math.floor(4 * share),
        "rotate": math.floor(30 * share),
        "solarize": 256 - math.floor(256 * share),
        "shear_x": 0.3 * share,
        "shear_y": 0.3 * share,
        "translate_x": math.floor(side / 3 * share),
        "translate_y": math.floor(side / 3 * share),
    }
    return sizes.get(name, 0.0)
