"""How well a score separates unknown images from known ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import FloatArray


@dataclass(frozen=True)
class Detection:
    """A score of being unknown, judged on images of both kinds; the unknown count as positive.

    Attributes:
        score: its name.
        auroc: the share of pairs of a known and an unknown image that it orders rightly; ties count half.
        fpr95: the share of known images that are rejected where 95% of the unknown are.
    """

    score: str
    auroc: float
    fpr95: float


def detection(score: str, known: FloatArray, unknown: FloatArray, rate: float = 0.95) -> Detection:
    """Return how well scores (N,) of known images and (M,) of unknown ones are separated.

    Raises:
        InputError: no images of one kind.
    """
    if not len(known) or not len(unknown):
        raise InputError(f"{len(known)} known and {len(unknown)} unknown images", "at least one of each", "Give more")
    levels = np.unique(np.concatenate([known, unknown]))[::-1]
    # Shares with at least each level: one point of the curve per distinct score.
    caught = 1 - np.searchsorted(np.sort(unknown), levels, side="left") / len(unknown)
    false = 1 - np.searchsorted(np.sort(known), levels, side="left") / len(known)
    heights, widths = np.concatenate([[0.0], caught]), np.diff(np.concatenate([[0.0], false]))
    area = float((widths * (heights[1:] + heights[:-1]) / 2).sum())
    return Detection(score, area, float(false[np.searchsorted(caught, rate - 1e-12)]))


def rejecting_threshold(scores: FloatArray, rate: float) -> float:
    """Return the least threshold above which at most `rate` of the scores lie.

    Raises:
        InputError: no scores.
    """
    if not len(scores):
        raise InputError("no images", "at least one validation image", "Give more")
    kept = len(scores) - int(np.floor(rate * len(scores) + 1e-9))
    return float(np.sort(scores)[max(kept, 1) - 1])
