"""Confident learning: which labels are probably wrong, from probabilities of networks that have not seen the images.

Northcutt, Jiang & Chuang 2021, sections 3.1 and 3.2. A class is confident of an image where its probability reaches the
mean of those that carry its label. An image is doubted where a class is confident of it, and another than its label is
the most probable. Doubted images are ranked by the normalised margin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import FloatArray, IntArray

_SLACK = 1e-6  # below a threshold, as cleanlab has it: means of equal numbers are not quite equal


@dataclass(frozen=True, eq=False)
class LabelDoubts:
    """Labels that are probably wrong.

    Attributes:
        rows: int64 (M,), the images, the most doubtful first.
        suggested: int64 (N,), the most probable class of each image, doubted or not.
        margins: (N,), half of 1 plus the label's probability minus the greatest of the others: 0 to 1.
        thresholds: (K,), the mean probability of each class over the images that carry its label; above 1 for none.
        joint: int64 (K, K), images counted by label (row) and confident class (column).
        share: the estimated share of wrong labels: of `joint`, its rows scaled to the counts of the labels.
    """

    rows: IntArray = field(repr=False)
    suggested: IntArray = field(repr=False)
    margins: FloatArray = field(repr=False)
    thresholds: FloatArray = field(repr=False)
    joint: IntArray = field(repr=False)
    share: float


def doubt_labels(probabilities: FloatArray, labels: IntArray) -> LabelDoubts:
    """Return which labels are doubted.

    Args:
        probabilities: (N, K), out of sample: no network has learnt from the images that it answers here.
        labels: (N,), as they are given.

    Raises:
        InputError: no images, or fewer than two classes.
    """
    count, classes = probabilities.shape
    if not count or classes < 2:
        raise InputError(f"{count} images of {classes} classes", "images of at least two classes", "Give more")
    rows = np.arange(count)
    carried = np.bincount(labels, minlength=classes)
    sums = np.zeros(classes)
    np.add.at(sums, labels, probabilities[rows, labels])
    thresholds = np.where(carried > 0, sums / np.maximum(carried, 1), 2.0)
    confident = probabilities >= thresholds - _SLACK
    best = probabilities.argmax(axis=1)
    guesses = np.where(confident.sum(axis=1) > 1, best, confident.argmax(axis=1))
    some = confident.any(axis=1)
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (labels[some], guesses[some]), 1)
    # Every class is taken to have one image that is labelled rightly.
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    own = probabilities[rows, labels]
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    margins = (own - others.max(axis=1) + 1) / 2
    doubted = np.flatnonzero(some & (guesses != labels) & (own < probabilities.max(axis=1) - _SLACK))
    scaled = joint / joint.sum(axis=1, keepdims=True) * carried[:, None]
    return LabelDoubts(
        rows=doubted[np.argsort(margins[doubted], kind="stable")],
        suggested=best.astype(np.int64),
        margins=margins,
        thresholds=thresholds,
        joint=joint,
        share=float(1 - scaled.diagonal().sum() / scaled.sum()),
    )
