"""Statistics of the training images: what is subtracted, divided by and whitened with, as a preprocessing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from residua._base.errors import InputError
from residua.data.dataset import Split
from residua.data.loader import Loader
from residua.data.preprocess.normalise import normalise
from residua.specs.pixel_array import PixelArray
from residua.specs.preprocess import STD_EPSILON, Center, PreprocessSpec, Std, size_words

Floats = npt.NDArray[np.float64]

_MOST_NUMBERS = 4096  # of an image that is whitened: 36 × 36 pixels; its matrix of 0.1 GB takes a minute
_BATCH = 256  # images per step: no result depends on it


def measured(
    split: Split,
    preprocess: PreprocessSpec,
    center: Center,
    std: Std,
    *,
    zca: bool = False,
    zca_epsilon: float = 1e-6,
    workers: int | None = None,
) -> PreprocessSpec:
    """Return the preprocessing with its mean, deviation and whitening measured on the images of a split.

    The arithmetic is that of `fit` of Keras's ImageDataGenerator on images from 0 to 1, in float64. The images are
    those of the evaluation transform, without augmentation; those that do not decode are left out.

    Args:
        split: the training images.
        preprocess: the transform; what is "customary" stays as it is there.
        center: see `Recipe`.
        std: see `Recipe`.
        zca: whether the matrix that whitens is computed, of the images as the rest of the result normalises them.
        zca_epsilon: added to the singular values of the images, of which they are the rows.
        workers: decoding threads; None: one per processor.

    Raises:
        InputError: whitening of images of more than 36 × 36 pixels; a split without a usable image.
    """
    own_center, own_std = center == "customary", std == "customary"
    result = dataclasses.replace(
        preprocess,
        mean=preprocess.mean if own_center else (0.0,) * 3,
        mean_image=preprocess.mean_image if own_center else None,
        image_center=preprocess.image_center if own_center else center == "image",
        std=preprocess.std if own_std else (1.0,) * 3,
        image_std=preprocess.image_std if own_std else std == "image",
        whitening=preprocess.whitening if own_center and own_std and not zca else None,
    )
    if center == "pixel" or "channel" in (center, std):
        mean, squares = _moments(split, preprocess, workers)
        if center == "pixel":
            whole = mean.astype(np.float32)
            result = dataclasses.replace(result, mean_image=PixelArray(whole.shape, whole.tobytes()))
        elif center == "channel":
            result = dataclasses.replace(result, mean=tuple(mean.mean((0, 1)).tolist()))
        if std == "channel":
            around = mean if center == "pixel" else mean.mean((0, 1))
            variance = (squares - 2 * around * mean + around**2).mean((0, 1))
            result = dataclasses.replace(result, std=tuple((np.sqrt(variance.clip(0)) + STD_EPSILON).tolist()))
    return dataclasses.replace(result, whitening=_whitening(split, result, zca_epsilon, workers)) if zca else result


class _Levels:
    """Yields the images of the evaluation transform as levels from 0 to 255, float32 (B, 3, H, W), in order."""

    def __init__(self, split: Split, preprocess: PreprocessSpec, workers: int | None) -> None:
        # The mean stays: it is what borders are filled with.
        levels = dataclasses.replace(
            preprocess,
            std=(1 / 255,) * 3, mean_image=None, whitening=None, image_center=False, image_std=False,
        )  # fmt: skip
        self._mean = torch.tensor(levels.mean).view(1, 3, 1, 1)
        self._loader = Loader(
            split, levels, batch_size=_BATCH, num_classes=1, train=False, workers=workers, on_bad="skip"
        )
        self.count = self._loader.count

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from ((batch.images + 255 * self._mean).round_() for batch in self._loader.epoch(0))


def _moments(split: Split, preprocess: PreprocessSpec, workers: int | None) -> tuple[Floats, Floats]:
    """Return the means of each pixel and of its square, float64 (H, W, 3), in units of [0, 1].

    Sums of levels are whole numbers that float64 holds exactly: the order of the images does not matter.
    """
    images = _Levels(split, preprocess, workers)
    total: Floats = np.zeros((*preprocess.size, 3))
    squares: Floats = np.zeros((*preprocess.size, 3))
    for batch in images:
        levels = batch.permute(0, 2, 3, 1).numpy().astype(np.float64)
        total += levels.sum(0)
        squares += (levels**2).sum(0)
    return total / (255 * images.count), squares / (255**2 * images.count)


def _whitening(split: Split, preprocess: PreprocessSpec, epsilon: float, workers: int | None) -> PixelArray:
    """Return the matrix of ZCA whitening: U · diag(√n / (s + ε)) · Uᵀ, of the images' singular values s and vectors U.

    Both come from the covariance, whose eigenvalues are s² / n.
    """
    numbers = preprocess.height * preprocess.width * 3
    if numbers > _MOST_NUMBERS:
        raise InputError(
            f"zca of images of {size_words(preprocess.size)} pixels: a matrix of {numbers:,} × {numbers:,} numbers",
            f"at most {math.isqrt(_MOST_NUMBERS // 3)} × {math.isqrt(_MOST_NUMBERS // 3)} pixels",
            "Use zca=False, or a smaller image_size",
        )
    images = _Levels(split, preprocess, workers)
    covariance = torch.zeros(numbers, numbers, dtype=torch.float64)
    for batch in images:
        rows = normalise(batch, preprocess).permute(0, 2, 3, 1).flatten(1).double()
        covariance.addmm_(rows.T, rows)
    values, vectors = torch.linalg.eigh(covariance)
    # Fewer images than numbers span fewer directions; the others are left out, as a thin decomposition does.
    kept = min(numbers, images.count)
    values, vectors = values[-kept:].clamp_min(0), vectors[:, -kept:]
    matrix = (vectors * (math.sqrt(images.count) / (values.sqrt() + epsilon))) @ vectors.T
    return PixelArray((numbers, numbers), matrix.float().numpy().tobytes())
