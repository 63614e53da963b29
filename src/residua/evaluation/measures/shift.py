"""What changes from one set of images to another with the same classes: rates, recalls, and which confusions grew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from residua.evaluation.measures.metrics import IntArray, Metrics, Outcome
from residua.evaluation.measures.significance import independent_score_interval

MOST_MOVED = 12
"""Confusions that are listed."""


@dataclass(frozen=True)
class ClassShift:
    """The recall of one class in both sets; None where a set lacks the class.

    Attributes:
        name: the class.
        first_count: its images in the first set.
        second_count: its images in the second.
        first_recall: in the first set, a fraction of 1.
        second_recall: in the second.
        difference: the second less the first.
        interval: 95% interval of the difference, of independent images.
    """

    name: str
    first_count: int
    second_count: int
    first_recall: float | None
    second_recall: float | None
    difference: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class MovedAnswers:
    """Images of one class that are taken for another, in both sets.

    Attributes:
        true: the class.
        predicted: what they are taken for.
        first: the share of the class's images in the first set.
        second: the share in the second.
        interval: 95% interval of the second less the first; it excludes 0.
    """

    true: str
    predicted: str
    first: float
    second: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Shift:
    """A second set of images beside the one that was evaluated; rates are fractions of 1.

    Attributes:
        folder: the name of the second set.
        split: the part of it.
        count: its images that decode.
        skipped: those that do not.
        top1: accuracy there.
        top1_interval: Wilson's 95% interval of it.
        difference: that accuracy less the first set's.
        interval: 95% interval of the difference; the images are others, so that nothing is paired.
        balanced_accuracy: mean recall there over the classes that have images.
        first_balanced_accuracy: of the first set.
        loss: mean cross-entropy there, nats.
        first_loss: of the first set.
        confidence: the mean probability of the answers there.
        first_confidence: of the first set.
        by_shares: the part of `difference` that follows from other shares of the classes, at the first set's recalls.
        by_recalls: the rest, from other recalls. Both are None where one of the sets lacks a class of the other.
        classes: recalls, the greatest loss first.
        moved: confusions of which the share changed beyond chance, the greatest change first.
    """

    folder: str
    split: str
    count: int
    skipped: int
    top1: float
    top1_interval: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    balanced_accuracy: float
    first_balanced_accuracy: float
    loss: float
    first_loss: float
    confidence: float
    first_confidence: float
    by_shares: float | None
    by_recalls: float | None
    classes: tuple[ClassShift, ...]
    moved: tuple[MovedAnswers, ...]


def shift(
    classes: Sequence[str],
    first: tuple[Metrics, Outcome],
    second: tuple[Metrics, Outcome],
    *,
    folder: str,
    split: str,
    skipped: int,
) -> Shift:
    """Return what changes from the first set to the second.

    Args:
        classes: names in the order of both confusions.
        first: metrics and outcome of the set that was evaluated.
        second: of the other.
        folder: the name of the other.
        split: its part.
        skipped: images of it that do not decode.
    """
    one, other = first[0], second[0]
    rows = [_class_shift(name, one.confusion, other.confusion, k) for k, name in enumerate(classes)]
    by_shares = _by_shares(one.confusion, other.confusion)
    right = [int(each.confusion.diagonal().sum()) for each in (one, other)]
    difference = right[1] / other.count - right[0] / one.count
    return Shift(
        folder=folder,
        split=split,
        count=other.count,
        skipped=skipped,
        top1=other.top1,
        top1_interval=other.top1_interval,
        difference=difference,
        interval=independent_score_interval((right[1], other.count), (right[0], one.count)),
        balanced_accuracy=other.balanced_accuracy,
        first_balanced_accuracy=one.balanced_accuracy,
        loss=other.loss,
        first_loss=one.loss,
        confidence=float(second[1].probability.mean()),
        first_confidence=float(first[1].probability.mean()),
        by_shares=by_shares,
        by_recalls=None if by_shares is None else difference - by_shares,
        classes=tuple(sorted(rows, key=lambda row: (row.difference is None, row.difference or 0.0))),
        moved=_moved(classes, one.confusion, other.confusion),
    )


def _class_shift(name: str, one: IntArray, other: IntArray, k: int) -> ClassShift:
    counts = int(one[k].sum()), int(other[k].sum())
    right = int(one[k, k]), int(other[k, k])
    recalls = [hits / count if count else None for hits, count in zip(right, counts, strict=True)]
    if recalls[0] is None or recalls[1] is None:
        return ClassShift(name, *counts, recalls[0], recalls[1], None, None)
    interval = independent_score_interval((right[1], counts[1]), (right[0], counts[0]))
    return ClassShift(name, *counts, recalls[0], recalls[1], recalls[1] - recalls[0], interval)


def _by_shares(one: IntArray, other: IntArray) -> float | None:
    """Return how accuracy would change if only the shares of the classes did."""
    counts = one.sum(axis=1), other.sum(axis=1)
    present = (counts[0] > 0) | (counts[1] > 0)
    if (counts[0][present] == 0).any() or (counts[1][present] == 0).any():
        return None
    shares = [each[present] / each.sum() for each in counts]
    recalls = one.diagonal()[present] / counts[0][present]
    return float(((shares[1] - shares[0]) * recalls).sum())


def _moved(classes: Sequence[str], one: IntArray, other: IntArray) -> tuple[MovedAnswers, ...]:
    moved = []
    totals = one.sum(axis=1), other.sum(axis=1)
    for true, predicted in np.argwhere((one > 0) | (other > 0)).tolist():
        if true == predicted or not totals[0][true] or not totals[1][true]:
            continue
        before, after = (
            (int(one[true, predicted]), int(totals[0][true])),
            (
                int(other[true, predicted]),
                int(totals[1][true]),
            ),
        )
        low, high = independent_score_interval(after, before)
        if low > 0 or high < 0:
            rates = before[0] / before[1], after[0] / after[1]
            moved.append(MovedAnswers(classes[true], classes[predicted], *rates, (low, high)))
    moved.sort(key=lambda each: (-abs(each.second - each.first), each.true, each.predicted))
    return tuple(moved[:MOST_MOVED])
