"""Times of steps, and their statistics."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """The times of one case.

    Attributes:
        seconds: of each measured step, in the order of measuring.
    """

    seconds: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean, seconds."""
        return statistics.fmean(self.seconds)

    @property
    def deviation(self) -> float:
        """Standard deviation over the steps, seconds; 0 for a single one."""
        return statistics.stdev(self.seconds) if len(self.seconds) > 1 else 0.0

    @property
    def median(self) -> float:
        """Median, seconds."""
        return statistics.median(self.seconds)

    def quantile(self, share: float) -> float:
        """Return the smallest time that at least `share` of the steps did not exceed, seconds."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def clocked(step: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that one step takes, including the work of a GPU."""
    _wait(device)
    start = time.perf_counter()
    step()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
