"""Test whether two models differ on the same images by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import wilson

EXACT_BELOW = 25
"""Discordant images below which the exact test is used."""

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
        interval: 95% interval of `difference`: the paired score interval (Newcombe 1998, method 10).
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
    interval = _newcombe(both, b, c, count - both - b - c)
    if b + c < EXACT_BELOW:
        tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
        return McNemar(b, c, "exact binomial", None, min(1.0, 2 * tail), (b - c) / count, interval)
    # Where b = c there is no difference, and the continuity correction must not create one.
    statistic = max(abs(b - c) - 1, 0) ** 2 / (b + c)
    # The survival function of chi-square with one degree of freedom.
    p = math.erfc(math.sqrt(statistic / 2))
    method: Literal["chi-square with continuity correction"] = "chi-square with continuity correction"
    return McNemar(b, c, method, statistic, p, (b - c) / count, interval)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979), in the order given: at most 1, monotone."""
    adjusted = [0.0] * len(values)
    worst = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        worst = max(worst, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = worst
    return adjusted


def _newcombe(both: int, b: int, c: int, neither: int) -> tuple[float, float]:
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
