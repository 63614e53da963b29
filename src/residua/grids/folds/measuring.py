"""What a worker measures after it has trained a fold: the answers for the images that were held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from residua._base.files import sha256_file, writing
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scorer import open_scorer
from residua.grids.folds.out_of_fold import OutOfFold
from residua.grids.jobs import Job
from residua.weights.run import Run


def answers_path(job: Job) -> Path:
    """Return the file of a fold's answers."""
    return job.record.with_suffix(".npz")


def measure_fold(run: Run, job: Job) -> dict[str, Any]:
    """Write the run's answers for its fold, and return what is counted of them.

    Raises:
        InputError: as `evaluate` with split="val".
    """
    device = None if job.recipe.device == "auto" else job.recipe.device
    scorer = open_scorer([run], ScoreOptions(split="val", device=device))
    scores, part = scorer.scores(run), scorer.part(run)
    _, places = part.drawn or ("", np.arange(len(part)))
    answers = OutOfFold(
        tuple(scorer.dataset.image_name(part, index) for index in scores.indices.tolist()),
        scores.labels,
        scores.logits.float().numpy(),
        np.full(len(scores.labels), job.recipe.fold),
        places[scores.indices],
        run.classes,
        scorer.dataset.hash,
    )
    path = answers_path(job)
    with writing(path):
        answers.write(path)
    metrics = scores.tally.metrics(run.classes)
    return {
        "top1": metrics.top1,
        "balanced_accuracy": metrics.balanced_accuracy,
        "loss": metrics.loss,
        "count": metrics.count,
        "skipped": len(scores.skipped),
        "sha256": sha256_file(path),
    }
