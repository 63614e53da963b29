"""Which images a run has learnt from, so that no part of the training data is taken for held-out data."""

from __future__ import annotations

from typing import Any

import numpy as np

from residua._base.errors import InputError
from residua._base.words import counted
from residua.data.dataset import Dataset
from residua.data.open import whole_of
from residua.data.splitting import Holdout, Labels
from residua.weights.run import Run


def check_unseen(run: Run, dataset: Dataset, split: str, purpose: str, *, compared: bool = False) -> str:
    """Refuse a run that has learnt from images of `split`; return a note on what is not certain, else "".

    The hash of the data decides whether it is the training data. A part of it that stands in its own folder was held
    out by every run. A validation part drawn from train was held out only by runs with the same seed and share.

    Args:
        run: the run.
        dataset: the opened data set.
        split: the part in question.
        purpose: what the images are for, a verb phrase for the error: "score it".
        compared: whether `residua.evaluation.relation.overlap` states what is known of other data.

    Returns:
        A note where the data differs from the training data, or where the run's epoch was chosen on these images.

    Raises:
        InputError: the run has learnt from some of the images; the message counts them.
    """
    name = run.name
    if run.data.get("hash") != dataset.hash:
        unsure = f"{name} was trained on other data: whether that held some of these images is not known"
        return "" if compared else unsure
    seen = _count_seen(run, dataset, split)
    if not seen:
        chosen = chose_epoch(run.recipe, split)
        return f"the epoch of {name} was chosen on these images, which flatters it somewhat" if chosen else ""
    if split == "train":
        return f"{name} was trained on {seen:,} of these images"
    raise InputError(
        f"{run.folder} has learnt from {seen:,} of the "
        f"{counted(len(dataset.splits[split]), 'image')} of the {split} part of "
        f"{dataset.given}, which are to {purpose}. Its own validation part was drawn with "
        f"{Holdout.of(run.data)}, this one with {dataset.holdout}",
        "images that all runs have held out",
        "Train the runs with the same seed and val_fraction, or score them on a test part or on other data",
    )


def chose_epoch(recipe: dict[str, Any] | None, split: str) -> bool:
    """Return whether a training by `recipe` chose its final epoch by the results on `split` of its data."""
    recipe = recipe or {}
    chosen = recipe.get("keep") in ("best", "every") or recipe.get("early_stop_epochs", 0) > 0
    return split == recipe.get("validate_on", "val") and chosen


def _count_seen(run: Run, dataset: Dataset, split: str) -> int:
    """Return how many images of `split` the run was trained on; `dataset` is its training data."""
    if split == "test":
        return 0
    own = Holdout.of(run.data)
    if own.is_like(dataset.holdout):
        return len(dataset.splits[split]) if split == "train" else 0
    # With no share set aside, the parts are those that stand in folders of their own.
    whole = whole_of(dataset)
    if "val" in whole.splits:
        return len(dataset.splits[split]) if split == "train" else 0
    labels, groups = whole.splits["train"].labels, whole.splits["train"].groups
    every = np.arange(len(labels))

    def parts(holdout: Holdout) -> tuple[Labels, Labels]:
        return holdout.draw(labels, groups) if holdout.folds or holdout.fraction else (every, every[:0])

    learnt, (kept, held) = parts(own)[0], parts(dataset.holdout)
    return len(np.intersect1d(learnt, kept if split == "train" else held))
