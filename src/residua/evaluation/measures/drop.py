"""Whether a changed network loses more accuracy than allowed: yes, no, or not decidable with these images.

Both networks answer the same images, so only those count that one of them alone classifies correctly. The bounds are
those of Tango's score test for paired proportions (Tango 1998, Statistics in Medicine 17:891), one-sided at 95%. They
hold where few answers differ: without any difference, n images still leave a loss of 2.7 / n possible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Literal

import numpy as np

from residua._base.errors import InputError
from residua.evaluation.measures.significance import Right
from residua.specs.fields import Span, checked

Answer = Literal["passes", "fails", "undecided"]
MaxDrop = Annotated[float, Span(0, 1, above=True, below=True)]
"""The largest loss of accuracy that is allowed, a fraction of 1."""
LEVEL = 0.95
"""Confidence of each bound, one-sided."""

_MOST_IMAGES = 10**9  # beyond every data set: so many images are as good as none


@dataclass(frozen=True)
class AccuracyDrop:
    """The loss of top-1 of a changed network, and the answer of the gate; rates are fractions of 1.

    Attributes:
        count: images.
        only_before: images that only the network before the change classifies correctly.
        only_after: images that only the changed network classifies correctly.
        drop: top-1 before less top-1 after.
        lower: the loss is at least this, at 95% confidence.
        upper: the loss is at most this, at 95% confidence.
        limit: the largest loss that is allowed.
        answer: "passes" where `upper` is at most `limit`, "fails" where `lower` is above it, else "undecided".
        needed: images that would decide at the same rates; None where it is decided, or where no number would.
    """

    count: int
    only_before: int
    only_after: int
    drop: float
    lower: float
    upper: float
    limit: float
    answer: Answer
    needed: int | None


def accuracy_drop(before: Right, after: Right, limit: float) -> AccuracyDrop:
    """Hold the loss of accuracy against a limit.

    Args:
        before: (N,), whether the network before the change is right.
        after: (N,), whether the changed network is.
        limit: the largest loss that is allowed, a fraction of 1.

    Raises:
        InputError: no images, different numbers of them, or a limit outside 0 to 1.
    """
    limit = checked("max_drop", limit, MaxDrop, "Use max_drop=0.003 for 0.3 points")
    before, after = np.asarray(before, bool), np.asarray(after, bool)
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        raise InputError(
            f"answers of shapes {before.shape} and {after.shape}",
            "both networks' answers to the same images",
            "Score both networks on the same images, in the same order",
        )
    count = len(before)
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    lower, upper = _bounds(lost, gained, count)
    answer = _answer(lower, upper, limit)
    needed = _needed(lost / count, gained / count, count, limit) if answer == "undecided" else None
    return AccuracyDrop(count, lost, gained, (lost - gained) / count, lower, upper, limit, answer, needed)


def _answer(lower: float, upper: float, limit: float) -> Answer:
    return "passes" if upper <= limit else "fails" if lower > limit else "undecided"


def _needed(lost: float, gained: float, count: int, limit: float) -> int | None:
    """Return the least number of images that decides, where answers change at the rates `lost` and `gained`."""

    def decides(images: int) -> bool:
        return _answer(*_bounds(lost * images, gained * images, images), limit) != "undecided"

    few, many = count, 2 * count
    while not decides(many):
        if many > _MOST_IMAGES:
            return None
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if decides(middle) else (middle, many)
    return many


def _bounds(lost: float, gained: float, count: int) -> tuple[float, float]:
    """Return the losses that the score test just does not reject, from below and from above."""
    z, drop = NormalDist().inv_cdf(LEVEL), (lost - gained) / count

    def at(end: float, wanted: float) -> float:
        # The statistic falls as the loss grows: between the estimate, where it is 0, and the end it is `wanted` once.
        inside, outside = drop, end
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(_score(lost, gained, count, middle)) <= abs(wanted):
                inside = middle
            else:
                outside = middle
        return (inside + outside) / 2

    return at(-1.0, z), at(1.0, -z)


def _score(lost: float, gained: float, count: int, loss: float) -> float:
    """Return Tango's statistic for the hypothesis that the true loss is `loss`: normal of deviation 1 under it."""
    excess = lost - gained - count * loss
    # The rate of gained answers that is most likely if the loss is true: the root of 2n q² + b q + c.
    b = (2 * count - lost + gained) * loss - lost - gained
    c = -gained * loss * (1 - loss)
    rate = (math.sqrt(max(b * b - 8 * count * c, 0.0)) - b) / (4 * count)
    variance = count * (2 * rate + loss * (1 - loss))
    if variance <= 0:
        return 0.0 if excess == 0 else math.copysign(math.inf, excess)
    return excess / math.sqrt(variance)
