"""Batch normalisation's statistics, estimated again: exact averages over a data set in place of moving ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import NotFinite
from residua.layers.shared import lender

PASSES = 30
SETTLED = 1e-3


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
        change: how far what the last pass measured was from what was set: the largest of a mean, in deviations, or of
            a variance, relative.
    """

    layers: int
    count: int
    passes: int
    change: float

    @property
    def settled(self) -> bool:
        """Whether the last pass found what was set, to 0.1%."""
        return self.change <= SETTLED


@torch.no_grad()
def reestimate_bn(model: nn.Module, loader: _Batches, *, passes: int = PASSES) -> Reestimated:
    """Set the running mean and variance of every batch normalisation to the moments of its inputs in evaluation.

    In training those are moving averages over the last batches, of weights that have moved on meanwhile. Here each is
    the mean, and the (population) variance, over all positions of all images that the loader gives, accumulated in
    double precision. Layers normalise by their statistics while others are measured, not by the batch's, so that the
    result does not depend on the batch size.

    New statistics of one layer move the inputs of all behind it. Set all at once from one pass, errors grow with the
    depth before they end; so the first batch of images leads. Layer by layer it shows how inputs moved since the pass,
    and the moments that the pass found are moved alike before the layer normalises by them. To begin with, they are
    those of the leading batch. Passes are repeated until one finds what is set, to 0.1%; see `Reestimated.settled`.

    The training mode of every module, and the momentum of every layer, are as before.

    Args:
        model: on the loader's device; it is changed.
        loader: gives each image once, in the same batches each time.
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
            "Evaluate it with reestimate=False: it holds no estimates",
        )
    leader = next((batch.images.clone() for batch in loader.epoch(0)), None)
    if leader is None:
        raise InputError("a loader that gives no image", "images to average over")
    modes = {module: module.training for module in model.modules()}
    model.eval()
    watches = [_Watch(layer) for layer in norms]
    of: dict[nn.Module, _Watch] = {watch.layer: watch for watch in watches}
    handles = [place.register_forward_pre_hook(of[lender(place)]) for place in model.modules() if lender(place) in of]
    try:
        _lead(model, leader, watches)
        change, done = math.inf, 0
        while done < passes and change > SETTLED:
            count = 0
            for batch in loader.epoch(0):
                model(batch.images)
                count += len(batch.images)
            change = max(watch.change() for watch in watches)
            _lead(model, leader, watches)
            done += 1
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    return Reestimated(len(norms), count, done, change)


@dataclass(frozen=True)
class _Moments:
    """Mean and squared deviation of each channel, merged batch by batch (Chan 1979): exact, and no sum cancels."""

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, x: Tensor) -> _Moments:
        flat = x.detach().transpose(0, 1).flatten(1).double()
        mean = flat.mean(dim=1)
        return cls(flat.shape[1], mean, (flat - mean[:, None]).square().sum(dim=1))

    def __add__(self, other: _Moments) -> _Moments:
        total, apart = self.count + other.count, other.mean - self.mean
        squares = self.squares + other.squares + apart.square() * (self.count * other.count / total)
        return _Moments(total, self.mean + apart * (other.count / total), squares)

    @property
    def variance(self) -> Tensor:
        return self.squares / self.count


class _Watch:
    """Measures the inputs of a layer, and while the first batch leads sets its statistics.

    A layer that stands at several places has a call for each; its moments are those of all calls so far.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        self.layer = layer
        self.leading = False
        self.seen: _Moments | None = None
        self.found: _Moments | None = None  # by the last pass
        self.led: list[_Moments] = []  # seen after each call, the last time that the batch led
        self.before: list[_Moments] = []  # and the time before

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        now = _Moments.of(inputs[0])
        self.seen = now if self.seen is None else self.seen + now
        if self.leading:
            self.led.append(self.seen)
            self._set(self.seen)

    def lead(self) -> None:
        self.leading, self.found, self.seen = True, self.seen, None
        self.before, self.led = self.led, []

    def measure(self) -> None:
        self.leading, self.seen = False, None

    def change(self) -> float:
        """Return how far what was measured is from what is set."""
        if self.seen is None:  # a layer of an auxiliary head, which evaluation does not run
            return 0.0
        set_mean, set_variance = self._statistics()
        scale = self.seen.variance + self.layer.eps
        shift, stretch = (
            (self.seen.mean - set_mean).abs() / scale.sqrt(),
            (self.seen.variance - set_variance).abs() / scale,
        )
        return float(torch.maximum(shift, stretch).max())

    def _set(self, now: _Moments) -> None:
        mean, variance = now.mean, now.variance
        if self.found is not None:
            then, eps = self.before[len(self.led) - 1], self.layer.eps
            wider = (variance + eps) / (then.variance + eps)
            mean = mean + wider.sqrt() * (self.found.mean - then.mean)
            variance = wider * self.found.variance
        if not (torch.isfinite(mean).all() and torch.isfinite(variance).all()):
            raise NotFinite(
                "inputs of a batch normalisation that are NaN or infinite", "finite activations", "Train again"
            )
        for statistic, value in zip(self._statistics(), (mean, variance), strict=True):
            statistic.copy_(value)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        mean, variance = self.layer.running_mean, self.layer.running_var
        assert mean is not None
        assert variance is not None
        return mean, variance


def _lead(model: nn.Module, leader: Tensor, watches: list[_Watch]) -> None:
    """Send the leading batch ahead: every layer's statistics are set, in forward order."""
    for watch in watches:
        watch.lead()
    model(leader)
    for watch in watches:
        watch.measure()
