"""What a recipe does about rare classes: weights of the loss, or an adjustment of the logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from residua.training.recipe import Recipe


@dataclass(frozen=True)
class Balance:
    """How the loss of a training step counts classes.

    Attributes:
        weights: (K,), the weight of each class in the loss; None for 1.
        offsets: (K,), added to the logits while training; None for none.
    """

    weights: Tensor | None = None
    offsets: Tensor | None = None


EQUAL = Balance()
"""Every image counts the same."""


def choose_balance(recipe: Recipe, counts: npt.NDArray[np.int64], device: torch.device) -> Balance:
    """Return what the recipe asks for, given the training images of each class, (K,) and all above 0.

    A balanced sampler is the loader's: the loss then counts every image the same.
    """
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
    number = (
        counts.astype(np.float64) if beta == 1 else -np.expm1(counts * np.log(beta)) if beta else np.ones(len(counts))
    )
    weights: npt.NDArray[np.float64] = 1 / number
    weights *= counts.sum() / (weights @ counts)
    return weights


def _on(device: torch.device, values: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).to(device, torch.float32)
