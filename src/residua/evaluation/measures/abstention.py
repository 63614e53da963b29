"""The gain of not answering: accuracy against coverage, and the probability threshold above which to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import FloatArray, wilson

WANTED = (0.9, 0.95, 0.99)
"""The accuracies for which thresholds are found."""

_POINTS = 101  # one per percent of coverage, and both ends


@dataclass(frozen=True)
class Abstention:
    """Accuracy of the answers that remain when the least sure are withheld; rates are fractions of 1.

    Attributes:
        aurc: area under the risk-coverage curve (Geifman & El-Yaniv 2017): the mean, over all coverages, of the share
            of wrong answers; 0 is best. Images of equal probability are answered together.
        curve: (coverage, accuracy) of at most 101 coverages, ascending; the last is (1, top-1).
    """

    aurc: float
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Threshold:
    """A probability threshold, and its effect on a set of images; rates are fractions of 1.

    Attributes:
        wanted: the accuracy requested for the answers.
        probability: answer when the predicted class has at least this probability; None where no threshold reaches it.
        coverage: share of images that are answered.
        accuracy: share of right answers among them; None when nothing is answered.
        accuracy_interval: Wilson's 95% interval of it.
    """

    wanted: float
    probability: float | None
    coverage: float
    accuracy: float | None
    accuracy_interval: tuple[float, float]


def abstention(confidence: FloatArray, correct: npt.NDArray[np.bool_]) -> Abstention:
    """Return the curve of accuracy against coverage.

    Args:
        confidence: (N,), probability of the predicted class.
        correct: (N,), whether it is the true one.

    Raises:
        InputError: no images.
    """
    answered, right, _ = _levels(confidence, correct)
    # Images of equal confidence have no order: each of their positions counts with the risk of the whole group.
    widths = np.diff(answered, prepend=0)
    aurc = float((widths * (1 - right / answered)).sum() / answered[-1])
    total = answered[-1]
    places = np.searchsorted(answered, np.linspace(0, total, _POINTS)[1:], side="left")
    chosen = np.unique(np.append(places, len(answered) - 1).clip(0, len(answered) - 1))
    return Abstention(aurc, tuple((float(answered[i] / total), float(right[i] / answered[i])) for i in chosen))


def find_thresholds(
    confidence: FloatArray, correct: npt.NDArray[np.bool_], wanted: Sequence[float] = WANTED
) -> dict[float, float | None]:
    """Return for each wanted accuracy the lowest probability threshold that reaches it, None where none does.

    Raises:
        InputError: no images, or an accuracy outside (0, 1].
    """
    answered, right, levels = _levels(confidence, correct)
    thresholds: dict[float, float | None] = {}
    for rate in wanted:
        if not 0 < rate <= 1:
            raise InputError(
                f"a wanted accuracy of {rate}",
                "a fraction of 1, such as 0.95",
                "Give accuracies as fractions: 0.95 for 95%",
            )
        reached = np.flatnonzero(right >= rate * answered - 1e-9)
        thresholds[rate] = float(levels[reached[-1]]) if len(reached) else None
    return thresholds


def apply_threshold(
    confidence: FloatArray, correct: npt.NDArray[np.bool_], wanted: float, probability: float | None
) -> Threshold:
    """Return the effect of a threshold, found on other images, on these images."""
    answered = confidence >= probability if probability is not None else np.zeros(len(confidence), bool)
    count, hits = int(answered.sum()), int((correct & answered).sum())
    return Threshold(
        wanted,
        probability,
        count / max(len(confidence), 1),
        hits / count if count else None,
        wilson(hits, count),
    )


def _levels(
    confidence: FloatArray, correct: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """Return for each distinct confidence, highest first: images answered, right answers, the confidence."""
    if not len(confidence):
        raise InputError("no images", "at least one image to compute a curve from", "Score at least one image first")
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    ends = np.append(np.flatnonzero(np.diff(sorted_confidence)), len(order) - 1)
    return ends + 1, np.cumsum(correct[order])[ends], sorted_confidence[ends]
