"""Score a second set of images with the same classes, and compare it with the one that was evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from residua._base.errors import InputError
from residua._base.public import public_name
from residua.evaluation.measures.shift import Shift, shift
from residua.evaluation.scores.scorer import Scorer, open_scorer
from residua.evaluation.scores.scores import Scores
from residua.weights.run import Run


def judge_shift(run: Run, scorer: Scorer, scores: Scores, folder: Path | str) -> Shift:
    """Compare the images that were evaluated with those of a second set.

    Args:
        run: evaluated alone.
        scorer: of that evaluation.
        scores: its scores.
        folder: the second set, with class folders; of parts, the held-out one counts.

    Raises:
        InputError: classes that the run does not know; the same images; as `open_scorer` and `collect`.
    """
    options = replace(scorer.options, data=folder, split=None, labels=None, columns=None)
    other = open_scorer([run], options)
    if other.dataset.hash == scorer.dataset.hash and other.split == scorer.split:
        raise InputError(
            f"shift={folder}, the images that are evaluated",
            "other images with the same classes",
            "Give another folder",
        )
    shifted = other.scores(run)
    return shift(
        run.classes,
        (scores.tally.metrics(run.classes), scores.outcome),
        (shifted.tally.metrics(run.classes), shifted.outcome),
        folder=public_name(other.dataset.given),
        split=other.split,
        skipped=len(shifted.skipped),
    )
