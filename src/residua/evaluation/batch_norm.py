"""Re-estimate batch normalisation's statistics: exact averages over a data set in place of moving averages."""

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
from residua.layers.shared import owner

# Measured in docs/decisions/0102: 19 passes settled the slowest of its networks to this share.
PASSES = 30
SETTLED = 1e-3


class _Batch(Protocol):
    @property
    def images(self) -> Tensor: ...


class _Batches(Protocol):
    def epoch(self, epoch: int) -> Iterable[_Batch]: ...


@dataclass(frozen=True)
class Reestimation:
    """The account of a re-estimation.

    Attributes:
        layers: batch normalisations whose statistics were set.
        count: images averaged over.
        passes: passes over them.
        change: the largest difference between the statistics set and those that the last pass measured: of a mean, in
            standard deviations; of a variance, relative.
    """

    layers: int
    count: int
    passes: int
    change: float

    @property
    def settled(self) -> bool:
        """Whether the last pass measured the statistics that were set, to 0.1%."""
        return self.change <= SETTLED


@torch.no_grad()
def reestimate_bn(model: nn.Module, loader: _Batches, *, passes: int = PASSES) -> Reestimation:
    """Set the running mean and variance of every batch normalisation to the moments of its inputs in evaluation.

    Training leaves moving averages over the last batches, whose weights have changed since. Here each statistic is the
    mean, or the (population) variance, over all positions of all images of the loader, accumulated in double precision.
    While layers are measured, they normalise by their set statistics, not by the batch's: the result does not depend
    on the batch size.

    New statistics of one layer change the inputs of all layers behind it. If all were set at once from one pass, errors
    would grow with the depth before they vanish. So the first batch runs ahead after each pass, and shows layer by
    layer how inputs changed since. The measured moments are shifted and scaled accordingly before they are set. The
    first statistics are the moments of that batch. Passes are repeated until one measures what is set, to 0.1%; see
    `Reestimation.settled`.

    The training mode of every module and the momentum of every layer stay as they are.

    Args:
        model: on the loader's device; its statistics are changed.
        loader: gives each image once, in the same batches each time.
        passes: the most passes.

    Raises:
        InputError: a network without batch normalisation, `passes` below 1, or a loader without images.
        NotFinite: a layer's inputs hold NaN or infinity.
    """
    if passes < 1:
        raise InputError(f"passes={passes}", "at least one pass over the images", "Use passes=1")
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
        raise InputError("a loader without images", "images to average over", "Give a loader of at least one image")
    modes = {module: module.training for module in model.modules()}
    model.eval()
    watches = [_Watch(layer) for layer in norms]
    of: dict[nn.Module, _Watch] = {watch.layer: watch for watch in watches}
    handles = [module.register_forward_pre_hook(of[owner(module)]) for module in model.modules() if owner(module) in of]
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
    return Reestimation(len(norms), count, done, change)


@dataclass(frozen=True)
class _Moments:
    """Mean and squared deviation per channel, merged batch by batch (Chan 1979): exact, without cancellation."""

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
    """Measure the inputs of a layer, and set its statistics while the first batch runs ahead.

    A layer that is applied at several places is called once for each; its moments are those of all calls so far.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        self.layer = layer
        self.leading = False
        self.seen: _Moments | None = None
        self.measured: _Moments | None = None  # measured by the last pass
        self.led: list[_Moments] = []  # moments after each call, the last time that the batch ran ahead
        self.before: list[_Moments] = []  # and the time before that

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        now = _Moments.of(inputs[0])
        self.seen = now if self.seen is None else self.seen + now
        if self.leading:
            self.led.append(self.seen)
            self._set(self.seen)

    def lead(self) -> None:
        self.leading, self.measured, self.seen = True, self.seen, None
        self.before, self.led = self.led, []

    def measure(self) -> None:
        self.leading, self.seen = False, None

    def change(self) -> float:
        """Return the difference between the statistics measured and those set; see `Reestimation.change`."""
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
        if self.measured is not None:
            then, eps = self.before[len(self.led) - 1], self.layer.eps
            wider = (variance + eps) / (then.variance + eps)
            mean = mean + wider.sqrt() * (self.measured.mean - then.mean)
            variance = wider * self.measured.variance
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
    """Run the first batch ahead: every layer's statistics are set, in forward order."""
    for watch in watches:
        watch.lead()
    model(leader)
    for watch in watches:
        watch.measure()
