"""Confidence intervals of means and differences: over seeds, or, with one seed, over images and assumed seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from residua.evaluation.measures.metrics import wilson

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A number and its interval.

    Attributes:
        value: the number.
        low, high: the interval's ends.
        over: what varies. "images": the images, with the same networks. "assumed": the images, and seeds with an
            assumed spread. "seeds": the seeds, with the same images. "units": units, layers or batches of the same
            networks.
    """

    value: float
    low: float
    high: float
    over: str

    def percent(self) -> str:
        """Return it in percent, such as "9.1 (6.9 to 11.3)"."""
        return f"{100 * self.value:z.1f} ({100 * self.low:z.1f} to {100 * self.high:z.1f})"


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
        """Return it in percent, such as "12.3 ± 0.4"."""
        mean = f"{100 * self.mean:.{digits}f}"
        return mean if self.sd is None else f"{mean} ± {100 * self.sd:.{digits}f}"


def rate(values: Sequence[float], count: int) -> Interval:
    """Return the mean of a rate that was measured with each seed on `count` images.

    Several seeds: Student's t, within 0 and 1. One seed, or equal values: Wilson's interval (1927).
    """
    spread = Spread.of(values)
    if not spread.sd:
        return Interval(spread.mean, *wilson(round(spread.mean * count), count, LEVEL), "images")
    half = _student(spread.n - 1, LEVEL) * spread.sd / math.sqrt(spread.n)
    # Student's interval of few seeds reaches beyond what a rate can be.
    return Interval(spread.mean, max(0.0, spread.mean - half), min(1.0, spread.mean + half), "seeds")


def difference(
    after: Sequence[float], before: Sequence[float], count: int, *, seed_sd: float, level: float = LEVEL
) -> Interval:
    """Return mean(after) - mean(before) of rates that were measured on `count` images each.

    Several seeds on both sides, with differing values: Welch's t (1947). Otherwise Newcombe's hybrid score interval
    (1998, method 10), widened by the assumed spread over seeds. It treats the two as independent, and is too wide
    where both saw the same images.

    Args:
        after, before: one value per seed.
        count: images.
        seed_sd: the standard deviation over seeds that is assumed where there is one seed.
        level: confidence, a fraction of 1.
    """
    a, b = Spread.of(after), Spread.of(before)
    value = a.mean - b.mean
    if a.sd is not None and b.sd is not None and (a.sd or b.sd):
        parts = [(spread.sd or 0.0) ** 2 / spread.n for spread in (a, b)]
        error = sum(parts)
        freedom = error**2 / sum(part**2 / (spread.n - 1) for part, spread in zip(parts, (a, b), strict=True))
        half = _student(freedom, level) * math.sqrt(error)
        return Interval(value, value - half, value + half, "seeds")
    (low_a, high_a), (low_b, high_b) = (wilson(round(spread.mean * count), count, level) for spread in (a, b))
    seeds = _normal(level) * seed_sd * math.sqrt(1 / a.n + 1 / b.n)
    low = value - math.hypot(a.mean - low_a, high_b - b.mean, seeds)
    high = value + math.hypot(high_a - a.mean, b.mean - low_b, seeds)
    return Interval(value, low, high, "assumed")


def contrast(a: Interval, b: Interval) -> Interval:
    """Return a - b of two independent numbers, their intervals joined (Zou 2008, "square-and-add")."""
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    return Interval(value, low, value + math.hypot(a.high - a.value, b.value - b.low), a.over)


def over_units(seeds: Sequence[Sequence[float]]) -> Interval:
    """Return the mean over units or batches, given one row per seed, with Student's interval.

    One seed: over its units, two or more. Several: over the means of the seeds, since units of one network are not
    independent networks.
    """
    values = seeds[0] if len(seeds) == 1 else [statistics.fmean(row) for row in seeds]
    spread = Spread.of(values)
    half = _student(spread.n - 1, LEVEL) * (spread.sd or 0.0) / math.sqrt(spread.n)
    return Interval(spread.mean, spread.mean - half, spread.mean + half, "units" if len(seeds) == 1 else "seeds")


def meaning(intervals: Iterable[Interval], seed_sd: float) -> list[str]:
    """Return what the intervals in brackets mean, one sentence per kind."""
    known = {
        "seeds": "In brackets: 95% intervals over the seeds (Welch, Student).",
        "assumed": "With one seed, or equal values of all seeds, the 95% intervals in brackets are over the images "
        f"(Newcombe), and allow for a different seed by an assumed standard deviation of {100 * seed_sd:g} points; "
        "more seeds would measure it.",
        "units": "In brackets: 95% intervals over the units, layers or batches of these networks (Student).",
    }
    kinds = {interval.over for interval in intervals}
    return [sentence for over, sentence in known.items() if over in kinds]


def _student(freedom: float, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def _normal(level: float) -> float:
    return statistics.NormalDist().inv_cdf(0.5 + level / 2)
