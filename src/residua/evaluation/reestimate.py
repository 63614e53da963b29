"""Batch normalisation's statistics, estimated anew: exact averages over a data set in place of moving ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from residua._base.errors import InputError
from residua.evaluation.metrics import NotFinite

PASSES = 10
_SETTLED = 1e-3


class _Batch(Protocol):
    @property
    def images(self) -> Tensor: ...


class _Batches(Protocol):
    def epoch(self, epoch: int) -> Iterable[_Batch]: ...


@dataclass(frozen=True)
class Reestimated:
    """What `reestimate_bn` did.

    Attributes:
        layers: batch normalisations whose statistics were set.
        count: images averaged over.
        passes: over them.
        change: of the last pass, the largest change of a mean, in deviations, or of a variance, relative.
    """

    layers: int
    count: int
    passes: int
    change: float


@torch.no_grad()
def reestimate_bn(model: nn.Module, loader: _Batches, *, passes: int = PASSES) -> Reestimated:
    """Set the running mean and variance of every batch normalisation to the exact moments of its inputs.

    In training those are moving averages over the last batches, of weights that have moved on meanwhile. Here each is
    the mean, and the (population) variance, over all positions of all images that the loader gives, accumulated in
    double precision. Layers normalise by their statistics while others are measured, not by the batch's, so that the
    result does not depend on the batch size. One pass sets the first layer exactly. What stands behind a layer whose
    statistics moved is measured again: passes are repeated until nothing changes by more than 0.1%.

    The training mode of every module, and the momentum of every layer, are as before.

    Args:
        model: on the loader's device; it is changed.
        loader: gives each image once.
        passes: the most passes.

    Raises:
        InputError: a network without batch normalisation, `passes` below 1, or a loader that gives no image.
        NotFinite: a layer's inputs hold NaN or infinity.
    """
    if passes < 1:
        raise InputError(f"passes={passes}", "at least one pass over the images")
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]
    if not norms:
        name = getattr(getattr(model, "spec", None), "name", type(model).__name__)
        raise InputError(
            f"{name}, which has no batch normalisation with running statistics",
            "a network with batch normalisation",
            "Evaluate it without --reestimate-bn: nothing in it is estimated",
        )
    modes = {module: module.training for module in model.modules()}
    model.eval()
    moments = {layer: _Moments() for layer in norms}
    handles = [layer.register_forward_pre_hook(_measure(moments[layer])) for layer in norms]
    try:
        change, count, done = math.inf, 0, 0
        while done < passes and change > _SETTLED:
            count = 0
            for moment in moments.values():
                moment.clear()
            for batch in loader.epoch(0):
                model(batch.images)
                count += len(batch.images)
            if not count:
                raise InputError("a loader that gives no image", "images to average over")
            change = max(_settle(layer, moment) for layer, moment in moments.items())
            done += 1
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    return Reestimated(len(norms), count, done, change)


class _Moments:
    """Mean and squared deviation of each channel, merged batch by batch (Chan 1979): exact, and no sum cancels."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, x: Tensor) -> None:
        flat = x.detach().transpose(0, 1).flatten(1).double()
        count, mean = flat.shape[1], flat.mean(dim=1)
        squares = (flat - mean[:, None]).square().sum(dim=1)
        if self.count:
            total = self.count + count
            apart = mean - self.mean
            squares = self.squares + squares + apart.square() * (self.count * count / total)
            mean = self.mean + apart * (count / total)
        self.count, self.mean, self.squares = self.count + count, mean, squares


def _measure(moments: _Moments) -> Any:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        moments.add(inputs[0])

    return hook


def _settle(layer: _BatchNorm, found: _Moments) -> float:
    """Write the moments into the layer; return by how much they changed."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    if not found.count:  # a layer of an auxiliary head, which evaluation does not run
        return 0.0
    mean, variance = found.mean, found.squares / found.count
    if not (torch.isfinite(mean).all() and torch.isfinite(variance).all()):
        raise NotFinite("inputs of a batch normalisation that are NaN or infinite", "finite activations", "Train again")
    before_mean, before = layer.running_mean.double(), layer.running_var.double()
    scale = variance + layer.eps
    change = max(
        float(((mean - before_mean).abs() / scale.sqrt()).max()), float(((variance - before).abs() / scale).max())
    )
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
    return change
