"""Who judges labels: classifiers or networks that have not learnt from the images that they answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from residua._base.errors import InputError
from residua._base.words import counted
from residua.data.random import order
from residua.evaluation.measures.logistic import out_of_fold
from residua.evaluation.measures.metrics import FloatArray, IntArray
from residua.grids.folds.out_of_fold import OUT_OF_FOLD, read_out_of_fold
from residua.labels.pool import Pool

Judge = Literal["features", "held-out", "folds"]
"""features: classifiers on the run's features, one per fold. held-out: the run, on images that it has held out. folds:
of a cross-validation, the run that had the image held out."""


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Probabilities of images by what has not learnt from their labels.

    Attributes:
        rows: int64 (M,), positions in the pool, ascending: images that could be judged.
        probabilities: (M, K), in the order of the run's classes.
        unseen: bool (M,), whether no network that took part had learnt from the image with its label.
        how: how they were made, a sentence.
    """

    rows: IntArray = field(repr=False)
    probabilities: FloatArray = field(repr=False)
    unseen: npt.NDArray[np.bool_] = field(repr=False)
    how: str


def judge_by_features(pool: Pool, classes: int, folds: int, seed: int) -> Verdicts:
    """Fit a logistic classifier per fold on the features of the other folds, and answer the fold.

    The network that gives the features has learnt from the labels of its training images, and hides some wrong ones.
    `unseen` marks the images of which that is not so.

    Raises:
        InputError: fewer than 2 folds; no class with two images.
    """
    if folds < 2:
        raise InputError(f"folds={folds}", "at least 2", "Use folds=5")
    rows = np.flatnonzero(np.bincount(pool.labels, minlength=classes)[pool.labels] > 1)
    if len(np.unique(pool.labels[rows])) < 2:
        raise InputError(
            f"{counted(len(pool), 'image')} of {pool.dataset.given}",
            "two classes with at least two images each",
            "Label more images",
        )
    labels = pool.labels[rows]
    probabilities = out_of_fold(pool.features[rows], labels, classes, folds_of(labels, folds, seed))
    how = f"Classifiers on the run's features, each fitted on {folds - 1} of {folds} folds, answered the fold left out."
    return Verdicts(rows, probabilities, ~pool.learnt[rows], how)


def judge_by_run(pool: Pool, temperature: float) -> Verdicts:
    """Let the run's network answer the images that it was not trained on.

    Raises:
        InputError: it was trained on all of them.
    """
    rows = np.flatnonzero(~pool.learnt)
    if not len(rows):
        raise InputError(
            f"{pool.dataset.given} without a validation part", "images that the run has held out", "Use by='features'"
        )
    what = "its validation images" if pool.own else "the images"
    how = f"The run itself answered {what}, {len(rows):,} of {len(pool):,}; the others were not judged."
    return Verdicts(rows, pool.probabilities(temperature)[rows], np.ones(len(rows), bool), how)


def judge_by_folds(folder: Path, pool: Pool, classes: tuple[str, ...]) -> Verdicts:
    """Take the answers of a cross-validation: each image is judged by the run that had it held out.

    Args:
        folder: of the cross-validation.
        pool: of one of its runs.
        classes: of that run.

    Raises:
        InputError: the cross-validation has not ended, or is of other data.
    """
    if not (folder / OUT_OF_FOLD).exists():
        raise InputError(
            f"{folder}, a cross-validation that has not ended", "one that has", "Go on with it: residua train --resume"
        )
    answers = read_out_of_fold(folder / OUT_OF_FOLD)
    if answers.data_hash != pool.dataset.hash or set(answers.classes) != set(classes):
        raise InputError(
            f"the answers of {folder}, which are those of other data", "the data that it was trained on", "Name it"
        )
    row_of = {name: row for row, name in enumerate(pool.names)}
    known = [(row_of[name], index) for index, name in enumerate(answers.paths) if name in row_of]
    rows, indices = np.array(sorted(known), np.int64).reshape(-1, 2).T
    order = [answers.classes.index(name) for name in classes]
    logits = torch.from_numpy(answers.logits[indices][:, order]).double()
    how = f"Each image was judged by that of the {len(np.unique(answers.folds))} runs that had it held out."
    return Verdicts(rows, logits.softmax(dim=1).numpy(), np.ones(len(rows), bool), how)


def folds_of(labels: IntArray, count: int, seed: int) -> IntArray:
    """Return the fold of each image, 0 to `count` - 1: dealt class by class, so that folds have as many of each."""
    folds = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # The first fold differs by class: classes of one or two images do not all stand in the first folds.
        folds[members[order(seed, int(label), len(members))]] = (np.arange(len(members)) + int(label)) % count
    return folds
