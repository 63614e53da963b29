"""How sure a mean or a difference is: over seeds where there are several, over the images where there is one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from residua.evaluation.metrics import wilson

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A number with its 95% interval.

    Attributes:
        value: the number.
        low, high: the interval's ends; infinite where nothing is known.
        over: "seeds": it would hold other seeds; "images": it would hold other images with the same networks, and says
            nothing of other seeds.
    """

    value: float
    low: float
    high: float
    over: str

    def percent(self) -> str:
        """As points of a hundred: "9.1 (6.9 to 11.3)"."""
        if not math.isfinite(self.low):
            return f"{100 * self.value:.1f}"
        return f"{100 * self.value:.1f} ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation; `sd` is None for a single value."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Describe one value or more."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))

    def percent(self, digits: int = 1) -> str:
        """As "12.3 ± 0.4", points of a hundred."""
        mean = f"{100 * self.mean:.{digits}f}"
        return mean if self.sd is None else f"{mean} ± {100 * self.sd:.{digits}f}"


def rate(values: Sequence[float], count: int) -> Interval:
    """Return the mean of a rate that was measured with each seed on `count` images.

    Several seeds: Student's t; one: Wilson's (1927).
    """
    found = Spread.of(values)
    if found.sd is None:
        return Interval(found.mean, *wilson(round(found.mean * count), count, LEVEL), "images")
    half = _student(found.n - 1) * found.sd / math.sqrt(found.n)
    return Interval(found.mean, found.mean - half, found.mean + half, "seeds")


def difference(after: Sequence[float], before: Sequence[float], count: int) -> Interval:
    """Return mean(after) - mean(before), of rates that were measured on `count` images each.

    Several seeds on both sides: Welch's t (1947). One: Newcombe's hybrid score interval (1998, method 10), which takes
    the two for independent; both saw the same images, so that it errs on the wide side.
    """
    a, b = Spread.of(after), Spread.of(before)
    value = a.mean - b.mean
    if a.sd is not None and b.sd is not None:
        parts = [(found.sd or 0.0) ** 2 / found.n for found in (a, b)]
        error = sum(parts)
        if error == 0:
            return Interval(value, value, value, "seeds")
        freedom = error**2 / sum(part**2 / (found.n - 1) for part, found in zip(parts, (a, b), strict=True))
        half = _student(freedom) * math.sqrt(error)
        return Interval(value, value - half, value + half, "seeds")
    (low_a, high_a), (low_b, high_b) = (wilson(round(found.mean * count), count, LEVEL) for found in (a, b))
    low = value - math.hypot(a.mean - low_a, high_b - b.mean)
    high = value + math.hypot(high_a - a.mean, b.mean - low_b)
    return Interval(value, low, high, "images")


def _student(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + LEVEL / 2))


def over_units(values: Sequence[float]) -> Interval:
    """Return the mean of two values or more, of which each is a unit's, with Student's interval over the units."""
    found = Spread.of(values)
    half = _student(found.n - 1) * (found.sd or 0.0) / math.sqrt(found.n)
    return Interval(found.mean, found.mean - half, found.mean + half, "units")
