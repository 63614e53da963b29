"""The learning-rate range test (Smith 2015, arXiv 1506.01186, section 3.3)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch

from residua._base.console import Display
from residua._base.signals import StopRequest
from residua.training.plan import Plan
from residua.training.step.memory import is_exhausted
from residua.training.trainer import Trainer

EARLY = 100
"""Steps: a run that diverges within them is tested."""
STEPS = 40
"""The most steps of a test."""
_SPAN, _LOWEST = 1000.0, 1e-4  # highest rate of the test over the first, and the most that the first one is
_SMOOTHING = 0.8  # of the loss from step to step; the first steps are corrected for it
_BLOWN_UP = 2.0  # times the lowest smoothed loss: the test ends
# The loss is still lowest at rates that a long run does not survive: with momentum, what they do shows later.
_MARGIN = 4.0


@dataclass(frozen=True)
class RangeTest:
    """The outcome of a test.

    Attributes:
        learning_rate: to try, one digit of 1, 2 or 5; None where the loss never fell.
        best: the rate at which the smoothed loss was lowest.
        steps: that were done.
    """

    learning_rate: float | None
    best: float
    steps: int


@dataclass(frozen=True)
class RateSweep:
    """The losses of steps at rising rates.

    Attributes:
        rates: of each step.
        losses: smoothed, after each step, as far as they are finite.
        steps: that were done.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steps: int

    @property
    def lowest(self) -> int | None:
        """The step after which the loss was lowest; None where it never fell."""
        step = min(range(len(self.losses)), key=self.losses.__getitem__, default=0)
        return step if step > 0 and self.losses[step] < self.losses[0] else None


def range_test(diverged: Trainer, stop: StopRequest) -> RangeTest | None:
    """Train from the run's beginning at rates that rise to the recipe's; None where a signal came or memory is short.

    Each step multiplies the rate by one factor. Weights, order and augmentation are the run's, so the outcome depends
    on its plan alone; see `sweep`.
    """
    peak = diverged.plan.recipe.learning_rate
    outcome = sweep(
        diverged.plan, stop, lowest=peak / max(_SPAN, peak / _LOWEST), highest=peak, steps=STEPS, blown_up=_BLOWN_UP
    )
    if outcome is None:
        return None
    best = outcome.rates[outcome.lowest or 0]
    return RangeTest(rounded_down(best / _MARGIN) if outcome.lowest else None, best, outcome.steps)


def sweep(
    plan: Plan, stop: StopRequest, *, lowest: float, highest: float, steps: int, blown_up: float
) -> RateSweep | None:
    """Train from the beginning of a run at rates that rise from step to step, by one factor.

    It works on a network of its own: the run's trainer, its folder, and the states of torch's generators stay as they
    are.

    Args:
        plan: of the run.
        stop: whether a signal came; then, and where memory is short, None comes back.
        lowest: rate of the first step.
        highest: rate of the last one.
        steps: the most that are done.
        blown_up: times the lowest smoothed loss, at which the sweep ends.
    """
    with torch.random.fork_rng():
        try:
            # A run may be shorter than the sweep: its epochs then repeat.
            trainer = _RangeTrainer(dataclasses.replace(plan, total_steps=steps), lowest, highest)
            return _swept(trainer, stop, steps, blown_up)
        except (MemoryError, RuntimeError) as error:
            if not is_exhausted(error):
                raise
            return None


class _RangeTrainer(Trainer):
    """A trainer whose rate rises from step to step, and whose losses are read here."""

    def __init__(self, plan: Plan, lowest: float, highest: float) -> None:
        super().__init__(plan, Display(False))
        self._first, self._factor = lowest, highest / lowest

    def rate(self, number: int) -> float:
        """Return the rate of step `number`."""
        return float(self._first * self._factor ** (number / (self.plan.total_steps - 1)))

    def read_losses(self, *, wait: bool = True) -> None:
        """Leave the losses where they are: one that is not finite ends the sweep, and is no error."""

    def last_loss(self) -> float:
        """Return the loss of the latest step."""
        return float(self._losses.last)


def _swept(trainer: _RangeTrainer, stop: StopRequest, steps: int, blown_up: float) -> RateSweep | None:
    trainer.begin()
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    while True:
        for group in trainer.groups():
            rates.append(trainer.rate(len(rates)))
            trainer.step(group)
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * trainer.last_loss()
            losses.append(mean / (1 - _SMOOTHING ** len(rates)))
            if stop.signal:
                return None
            if not math.isfinite(mean) or losses[-1] > blown_up * min(losses) or len(losses) == steps:
                known = [loss for loss in losses if math.isfinite(loss)]
                return RateSweep(tuple(rates[: len(known)]), tuple(known), len(losses))
        trainer.state.epoch, trainer.state.step = trainer.state.epoch + 1, 0


def rounded_down(rate: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `rate`."""
    power = 10.0 ** math.floor(math.log10(rate))
    digit = max(digit for digit in (1, 2, 5) if digit * power <= rate * (1 + 1e-9))
    return float(f"{digit * power:.1g}")
