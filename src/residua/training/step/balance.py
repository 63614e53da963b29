"""What a recipe does about rare classes: weights of the loss, or an adjustment of the logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from residua.data.loader import Loader
from residua.training.recipe import Recipe


@dataclass(frozen=True)
class Balance:
    """How the loss of a training step counts classes.

    Attributes:
        weights: (K,), the weight of each class in the loss; None for 1.
        offsets: (K,), added to the logits while training; None for none.
        positives: (K,), the weight of each label where it is there, of images that may have several; None for 1.
    """

    weights: Tensor | None = None
    offsets: Tensor | None = None
    positives: Tensor | None = None


EQUAL = Balance()
"""Every image counts the same."""


def balance_for(recipe: Recipe, train: Loader, device: torch.device) -> Balance:
    """Return what the recipe asks for, given the training images, of which every class has some.

    A balanced sampler is the loader's: the loss then counts every image the same.
    """
    images = train.count if train.split.multilabel else None
    return choose_balance(recipe, train.class_counts, device, images=images)


def choose_balance(
    recipe: Recipe, counts: npt.NDArray[np.int64], device: torch.device, *, images: int | None = None
) -> Balance:
    """Return what the recipe asks for, given the training images of each class, (K,) and all above 0.

    Args:
        recipe: has the rules.
        counts: images of each class.
        device: of the weights.
        images: training images in all, where each may have several labels; None where each has one.
    """
    if images is not None:
        weighed = recipe.balance == "loss"
        return (
            Balance(positives=_on(device, positive_weights(counts, images, recipe.balance_beta))) if weighed else EQUAL
        )
    if recipe.balance == "loss":
        return Balance(weights=_on(device, class_weights(counts, recipe.balance_beta)))
    if recipe.balance == "logits":
        return Balance(offsets=_on(device, recipe.balance_tau * np.log(counts / counts.sum())))
    return EQUAL


def class_weights(counts: npt.NDArray[np.int64], beta: float) -> npt.NDArray[np.float64]:
    """Return a weight for each class, (K,), inverse to its effective number of images (1 - β^n) / (1 - β).

    Cui 2019, "Class-Balanced Loss Based on Effective Number of Samples", equation 2. β = 0 gives every class the same
    weight; β = 1 stands for the limit, the inverse frequency, and then equals scikit-learn's `class_weight="balanced"`.
    The mean over the images is 1, so that the learning rate keeps its meaning; Cui's sum over the classes is K.
    """
    weights: npt.NDArray[np.float64] = 1 / _effective(counts, beta)
    weights *= counts.sum() / (weights @ counts)
    return weights


def positive_weights(counts: npt.NDArray[np.int64], images: int, beta: float) -> npt.NDArray[np.float64]:
    """Return the weight of each label where it is there, (K,): the effective number of images without it over those
    with it.

    At β = 1 that is negatives over positives, as torch's `BCEWithLogitsLoss` advises for `pos_weight`. A label that
    every image has gets the weight of one negative.
    """
    weights: npt.NDArray[np.float64] = _effective(np.maximum(images - counts, 1), beta) / _effective(counts, beta)
    return weights


def _effective(counts: npt.NDArray[np.int64], beta: float) -> npt.NDArray[np.float64]:
    """Return the effective number of so many images, up to a factor: (1 - β^n); n at β = 1."""
    if beta == 1:
        return counts.astype(np.float64)
    return -np.expm1(counts * np.log(beta)) if beta else np.ones(len(counts))


def _on(device: torch.device, values: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).to(device, torch.float32)
