"""The learning-rate range test (Smith 2015, arXiv 1506.01186, section 3.3) of a run that diverged at once."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch

from residua._base.console import Display
from residua._base.signals import StopRequest
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


def range_test(diverged: Trainer, stop: StopRequest) -> RangeTest | None:
    """Train from the run's beginning at rates that rise to the recipe's; None where a signal came or memory is short.

    Each step multiplies the rate by one factor. Weights, order and augmentation are the run's, so the outcome depends
    on its plan alone. It works on a network of its own: the trainer of the run, its folder, and the states of torch's
    generators stay as they are.
    """
    with torch.random.fork_rng():
        try:
            # A run may be shorter than the test: its epochs then repeat.
            plan = dataclasses.replace(diverged.plan, total_steps=STEPS)
            return _tested(_RangeTrainer(plan, Display(False)), stop)
        except (torch.OutOfMemoryError, MemoryError):
            return None


class _RangeTrainer(Trainer):
    """A trainer whose rate rises from step to step, and whose losses are read here."""

    def rate(self, number: int) -> float:
        """Return the rate of step `number`: the recipe's peak at the last one."""
        peak = self.plan.recipe.learning_rate
        span = max(_SPAN, peak / _LOWEST)
        return float(peak * span ** (number / (STEPS - 1) - 1))

    def read_losses(self) -> None:
        """Leave the losses where they are: one that is not finite ends the test, and is no error."""

    def last_loss(self) -> float:
        """Return the loss of the latest step."""
        loss, _, _ = self._unread[-1]
        return float(loss)


def _tested(trainer: _RangeTrainer, stop: StopRequest) -> RangeTest | None:
    trainer.begin()
    losses: list[float] = []
    mean = 0.0
    while True:
        for group in trainer.groups():
            trainer.step(group)
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * trainer.last_loss()
            losses.append(mean / (1 - _SMOOTHING ** (len(losses) + 1)))
            if stop.signal:
                return None
            if not math.isfinite(mean) or losses[-1] > _BLOWN_UP * min(losses) or len(losses) == STEPS:
                return _outcome(trainer, losses)
        trainer.state.epoch, trainer.state.step = trainer.state.epoch + 1, 0


def _outcome(trainer: _RangeTrainer, losses: list[float]) -> RangeTest:
    known = [loss for loss in losses if math.isfinite(loss)]
    lowest = min(range(len(known)), key=known.__getitem__, default=0)
    fell = lowest > 0 and known[lowest] < known[0]
    best = trainer.rate(lowest)
    return RangeTest(rounded_down(best / _MARGIN) if fell else None, best, len(losses))


def rounded_down(rate: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `rate`."""
    power = 10.0 ** math.floor(math.log10(rate))
    digit = max(digit for digit in (1, 2, 5) if digit * power <= rate * (1 + 1e-9))
    return float(f"{digit * power:.1g}")
