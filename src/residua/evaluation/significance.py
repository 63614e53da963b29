"""Whether two models differ on one set of images, or only seem to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError

EXACT_BELOW = 25
"""Discordant images below which the exact test is used."""

BOOTSTRAP = 10_000

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models on the same images.

    Attributes:
        only_first: images that only the first model classifies rightly.
        only_second: images that only the second does.
        method: "exact binomial" below 25 discordant images, else "chi-square with continuity correction"
            (Edwards 1948).
        statistic: (|b - c| - 1)² / (b + c); None of the exact test.
        p: two-sided; the probability of a difference as large, were the models equally good.
        difference: top-1 of the first less that of the second, fractions of 1.
        interval: 95% of `difference`, from 10,000 paired bootstrap samples of the images.
    """

    only_first: int
    only_second: int
    method: Literal["exact binomial", "chi-square with continuity correction"]
    statistic: float | None
    p: float
    difference: float
    interval: tuple[float, float]


def mcnemar(first: Right, second: Right, *, seed: int = 0) -> McNemar:
    """Test whether two models are equally often right on the same images (McNemar 1947).

    Args:
        first: (N,), whether the first model is right.
        second: (N,), whether the second is.
        seed: of the bootstrap.

    Raises:
        InputError: no images, or different numbers of them.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise InputError(
            f"answers of shapes {first.shape} and {second.shape}", "both models' answers to the same images"
        )
    b, c, count = int((first & ~second).sum()), int((second & ~first).sum()), len(first)
    interval = _bootstrap(b, c, count, seed)
    if b + c < EXACT_BELOW:
        tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
        return McNemar(b, c, "exact binomial", None, min(1.0, 2 * tail), (b - c) / count, interval)
    # Where b = c there is no difference, and the correction must not make one.
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


def _bootstrap(b: int, c: int, count: int, seed: int) -> tuple[float, float]:
    """The percentile interval. Of an image only the pair of answers counts: resampling them is one multinomial draw."""
    shares = [b / count, c / count, (count - b - c) / count]
    drawn = np.random.default_rng(seed).multinomial(count, shares, size=BOOTSTRAP)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / count, [0.025, 0.975])
    return float(low), float(high)
