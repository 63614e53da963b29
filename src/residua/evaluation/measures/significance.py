"""Test whether two models differ on the same images by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import wilson

EXACT_BELOW = 25
"""Discordant images below which the exact test is used."""

_LEVEL = 0.95
Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models on the same images.

    Attributes:
        only_first: images that only the first model classifies correctly.
        only_second: images that only the second model classifies correctly.
        method: "exact binomial" below 25 discordant images, else "chi-square with continuity correction"
            (Edwards 1948).
        statistic: (|b - c| - 1)² / (b + c); None for the exact test.
        p: two-sided: the probability of a difference at least as large between equally good models.
        difference: top-1 of the first less that of the second, fractions of 1.
        interval: 95% interval of `difference`: the paired score interval (Newcombe 1998, method 10) where it and the
            test agree about 0; else the test's own, turned around (`conditional_interval`).
    """

    only_first: int
    only_second: int
    method: Literal["exact binomial", "chi-square with continuity correction"]
    statistic: float | None
    p: float
    difference: float
    interval: tuple[float, float]


def mcnemar(first: Right, second: Right) -> McNemar:
    """Test whether two models have the same accuracy on the same images (McNemar 1947).

    Args:
        first: (N,), whether the first model is right.
        second: (N,), whether the second is.

    Raises:
        InputError: no images, or different numbers of them.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise InputError(
            f"answers of shapes {first.shape} and {second.shape}",
            "both models' answers to the same images",
            "Score both models on the same images, in the same order",
        )
    b, c, count = int((first & ~second).sum()), int((second & ~first).sum()), len(first)
    both = int((first & second).sum())
    interval = paired_score_interval(both, b, c, count - both - b - c)
    if b + c < EXACT_BELOW:
        tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
        p = min(1.0, 2 * tail)
        return McNemar(b, c, "exact binomial", None, p, (b - c) / count, _agreeing(interval, p, b, c, count))
    # Where b = c there is no difference, and the continuity correction must not create one.
    statistic = max(abs(b - c) - 1, 0) ** 2 / (b + c)
    # The survival function of chi-square with one degree of freedom.
    p = math.erfc(math.sqrt(statistic / 2))
    method: Literal["chi-square with continuity correction"] = "chi-square with continuity correction"
    return McNemar(b, c, method, statistic, p, (b - c) / count, _agreeing(interval, p, b, c, count))


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979), in the order given: at most 1, monotone."""
    adjusted = [0.0] * len(values)
    worst = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        worst = max(worst, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = worst
    return adjusted


def _agreeing(interval: tuple[float, float], p: float, b: int, c: int, count: int) -> tuple[float, float]:
    """Return the interval, or the test's own where the two disagree about whether there is a difference."""
    excludes = interval[0] > 0 or interval[1] < 0
    return interval if excludes == (p < 1 - _LEVEL) else conditional_interval(b, c, count)


def conditional_interval(b: int, c: int, count: int) -> tuple[float, float]:
    """Return the 95% interval of (b - c) / count that excludes 0 exactly where McNemar's p is below 0.05.

    It takes the number of discordant images as given. The share of them that the first model has right gets the
    interval that belongs to the test. Below 25 of them that is Clopper's and Pearson's (1934), else Wilson's with
    continuity correction (Newcombe 1998, method 4).

    Args:
        b: images that only the first model classifies correctly.
        c: images that only the second does; one discordant image at least.
        count: images in all.
    """
    discordant = b + c
    ends = (_exact_low(b, discordant), 1 - _exact_low(c, discordant))
    if discordant >= EXACT_BELOW:
        ends = (_corrected_low(b, discordant), 1 - _corrected_low(c, discordant))
    low, high = ((2 * end - 1) * discordant / count for end in ends)
    return low, high


def _exact_low(hits: int, trials: int) -> float:
    """Return the share at which so many hits or more have a probability of 2.5%, by bisection."""
    if hits == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        tail = sum(math.comb(trials, k) * middle**k * (1 - middle) ** (trials - k) for k in range(hits, trials + 1))
        low, high = (middle, high) if tail < (1 - _LEVEL) / 2 else (low, middle)
    return low


def _corrected_low(hits: int, trials: int) -> float:
    if hits == 0:
        return 0.0
    z2, rate = NormalDist().inv_cdf(0.5 + _LEVEL / 2) ** 2, hits / trials
    inner = z2 - 2 - 1 / trials + 4 * rate * (trials * (1 - rate) + 1)
    return max(0.0, (2 * hits + z2 - 1 - math.sqrt(z2 * inner)) / (2 * (trials + z2)))


def independent_score_interval(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """Return the 95% interval of the difference of two rates of different images, the first less the second.

    It combines Wilson's intervals of the two (Newcombe 1998, Statistics in Medicine 17:873, method 10).

    Args:
        first: (successes, trials), of which there is one at least.
        second: likewise.
    """
    one, other = first[0] / first[1], second[0] / second[1]
    (low1, high1), (low2, high2) = wilson(*first), wilson(*second)
    below, above = math.hypot(one - low1, high2 - other), math.hypot(high1 - one, other - low2)
    return max(-1.0, one - other - below), min(1.0, one - other + above)


def paired_score_interval(both: int, b: int, c: int, neither: int) -> tuple[float, float]:
    """Apply method 10 of Newcombe 1998: combine Wilson's intervals of the two rates by the correlation of the
    answers."""
    count = both + b + c + neither
    first, second = (both + b) / count, (both + c) / count
    (low1, high1), (low2, high2) = wilson(both + b, count), wilson(both + c, count)
    alike: float = both * neither - b * c
    if alike > 0:  # corrected for continuity
        alike = max(alike - count / 2, 0)
    margins = (both + b) * (c + neither) * (both + c) * (b + neither)
    phi = alike / math.sqrt(margins) if margins else 0.0

    def side(one: float, other: float) -> float:
        return math.sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))

    below, above = side(first - low1, high2 - second), side(high1 - first, second - low2)
    return max(-1.0, first - second - below), min(1.0, first - second + above)
