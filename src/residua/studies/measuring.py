"""What a worker calls after a study's training: the study's own measurements of the finished run."""

from __future__ import annotations

from typing import Any

from residua.grids.jobs import Job
from residua.studies.catalog import get_study
from residua.studies.measures.subject import Subject
from residua.weights.run import Run


def measure(run: Run, job: Job, *, study: str, quick: bool) -> dict[str, Any]:
    """Return what the study measures of a run, on the data that it was trained on."""
    measuring = get_study(study).measure
    if measuring is None:
        return {}
    dataset = job.recipe.open_data(job.data, job.data_dir)
    return measuring(Subject(run, dataset, quick, job.recipe.seed))
