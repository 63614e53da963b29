"""The result of every method of explanation, and the state in which methods run a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.families.network import Classifier

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Attribution:
    """The explanation of a batch.

    Attributes:
        maps: (B, H, W) ≥ 0, the evidence for the class at each pixel of the input, as each method defines it.
        values: the method's own values, signed: (B, 1, h, w) of a layer, (B, 1, H, W) or (B, C, H, W) of the input.
        targets: (B,) int64, the classes that were explained.
        logits: (B, K) of the images.
        layer: the end point whose maps were weighted, or None.
        delta: (B,) the sum of the values less its theoretical value, logits; or None.
    """

    maps: Tensor
    values: Tensor
    targets: Tensor
    logits: Tensor
    layer: str | None = None
    delta: Tensor | None = None

    def rows(self) -> Iterator[Attribution]:
        """Yield the explanation of each image by itself, as a batch of one."""
        for row in range(len(self.targets)):
            one = slice(row, row + 1)
            delta = None if self.delta is None else self.delta[one]
            yield replace(
                self,
                maps=self.maps[one],
                values=self.values[one],
                targets=self.targets[one],
                logits=self.logits[one],
                delta=delta,
            )


class Method(Protocol):
    """A method of explanation; its further parameters have defaults."""

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor | None = None, /) -> Attribution:
        """Explain (B, C, H, W) images as the network sees them, for (B,) classes, by default those predicted."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode and switch gradients on; afterwards restore each module's mode.

    No parameter's `grad` or `requires_grad` changes: methods take gradients with `torch.autograd.grad`, of inputs and
    feature maps only.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        # Not `train(mode)`: a part that was frozen inside a training network stays frozen.
        for module, training in modes.items():
            module.training = training


def checked(images: Tensor) -> Tensor:
    """Return the images as a tensor that autograd can save.

    Raises:
        InputError: they are no batch of floating-point images.
    """
    if images.dim() != 4 or not images.is_floating_point() or not images.numel():
        raise InputError(
            f"images of shape {tuple(images.shape)} and type {images.dtype}",
            "a batch (B, C, H, W) in floating point, normalised as the network expects",
            "Use run.preprocess, and torch.stack for a batch",
        )
    return images.clone() if images.is_inference() else images.detach()


def settled(targets: Tensor | None, logits: Tensor) -> Tensor:
    """Return the classes to explain (B,), by default the predicted; of equal logits the lower index is predicted.

    Raises:
        InputError: not one class per image, or an index that the network does not have.
    """
    count, classes = logits.shape
    if targets is None:
        return logits.detach().sort(dim=1, descending=True, stable=True).indices[:, 0]
    legal = targets.dtype == torch.int64 and tuple(targets.shape) == (count,)
    if not legal or bool(((targets < 0) | (targets >= classes)).any()):
        raise InputError(
            f"targets {targets.tolist()} of type {targets.dtype}",
            f"{count} class indices (int64), one per image, each from 0 to {classes - 1}",
            "Leave them out for the predicted classes",
        )
    return targets.to(logits.device)


def scores(logits: Tensor, targets: Tensor) -> Tensor:
    """Return each image's logit of its class: (B, K) logits -> (B,)."""
    return logits.gather(1, targets[:, None])[:, 0]


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits without a graph: (B, C, H, W) -> (B, K)."""
    with torch.no_grad():
        logits: Tensor = model(images)
    return logits


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
