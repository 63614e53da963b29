"""Cross-validation: train a run per fold, then judge every image by the run that has not learnt from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from residua._base.console import Display
from residua._base.errors import AnswerNo, Damaged, InputError
from residua._base.files import sha256_file, write_text, writing
from residua._base.lock import exclusive
from residua._base.run_files import CROSS_VALIDATION
from residua._base.signals import StopRequest
from residua._base.words import some, worded
from residua.data.tables.label_table import ColumnNames, label_table
from residua.evaluation.report.report import write_report
from residua.grids.folds.measuring import answers_path
from residua.grids.folds.out_of_fold import OUT_OF_FOLD, joined, read_out_of_fold
from residua.grids.folds.outcome import CrossValidation, FoldResult, conclude
from residua.grids.folds.plan import FoldPlan, claim_folds, plan_folds
from residua.grids.jobs import Job, Record, read_record
from residua.grids.processes import default_jobs, run_jobs
from residua.specs.schema import Spec
from residua.training.recipe import Recipe
from residua.training.recipe_file import to_dict
from residua.training.request import jobs_words
from residua.weights.open import load


class FoldsFailed(AnswerNo):
    """Some folds could not be trained or measured; the others are kept."""


def train_folds(
    data: str | Path,
    model: str | Spec | None = None,
    recipe: str | Path | Recipe | None = None,
    out: str | Path = "runs/folds",
    *,
    folds: int | None = None,
    resume: bool = False,
    jobs: int | None = None,
    progress: bool = True,
    data_dir: Path | None = None,
    labels: str | Path | None = None,
    columns: ColumnNames = None,
    groups: str | None = None,
    model_edits: dict[str, Any] | None = None,
    weights: str | Path | None = None,
    full_provenance: bool = False,
    corrections: str | Path | None = None,
    **overrides: Any,
) -> CrossValidation:
    """Train a run per fold in one folder, and report on all images, each judged by the run that had it held out.

    Every fold holds of each class as many images as any other, within one; with groups, whole groups. The folds are a
    pure function of labels, groups and seed. Each is a run like any other, in a process of its own.

    Args:
        data: as for `train`, without a validation part.
        model: as for `train`.
        recipe: as for `train`.
        out: the folder: fold-1, fold-2 …, out_of_fold.npz, report.html, report.json, cross_validation.json.
        folds: how many, 2 and more; when resuming, the folder's own.
        resume: go on where the folds were stopped; what is not given is that of the folder.
        jobs: folds at a time; by default one per processor, at most 8, and one on a GPU.
        progress: whether stderr shows the progress.
        data_dir, labels, columns, groups, model_edits, weights, full_provenance, corrections: as for `train`.
        overrides: fields of the recipe or of its augmentation.

    Raises:
        InputError: unusable input; a class or a group that folds would leave without training images.
        FoldsFailed: folds failed, each named with its reason.
        Interrupted: SIGINT or SIGTERM came; everything is saved, and the message states how to go on.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs={jobs}", "1 or more folds at a time", "Leave it out for one per processor")
    if folds is not None:
        overrides["folds"] = folds
    plan = plan_folds(
        data,
        model,
        recipe,
        out,
        resume=resume,
        data_dir=data_dir,
        table=label_table(labels, columns, groups),
        model_edits=model_edits,
        weights=weights,
        corrections=corrections,
        full_provenance=full_provenance,
        overrides=overrides,
    )
    folder = plan.folder
    # How many run at a time decides their threads, and these the last bits.
    command = " ".join([plan.command, *jobs_words(jobs)])
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder), Display(progress) as display, StopRequest(command) as stop:
        claim_folds(plan, resume=resume)
        missing = [job for job in plan.jobs if _done(job, display) is None]
        at_once = min(jobs or default_jobs(len(plan.jobs), plan.recipe.device), len(plan.jobs))
        done = len(plan.jobs) - len(missing)
        display.say(
            f"{plan.request.spec.name} on {plan.dataset.given}: {len(plan.jobs)} folds"
            + (f", {done} of them done already" if done else "")
            + (f"; {at_once} at a time" if missing else "")
        )
        for note in (*plan.dataset.notes, *map(worded, plan.notes)):
            display.say(note)
        lost = plan.record.get("missing_weights", "")
        if lost and not resume:
            display.warn(lost)
        stop.wait()
        failed = run_jobs(
            missing, at_once=at_once, logs=folder / "logs", stopped=lambda: stop.signal != 0, say=display.say
        )
        if stop.signal:
            raise stop.interrupted(stop.signal, "with all folds saved")
        if failed:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
            raise FoldsFailed(f"{len(failed)} of {len(plan.jobs)} folds failed: {reasons}. Go on with: {command}")
        outcome = _gathered(plan)
        with writing(folder):
            write_text(folder / CROSS_VALIDATION, _document(outcome))
            write_report(folder, outcome.report)
        mean = outcome.mean["top1"]
        display.say(
            f"Out of fold: top-1 {outcome.top1:.2%} of {outcome.report.count:,} images; mean over folds "
            f"{mean.value:.2%} (95% interval {mean.low:.2%} to {mean.high:.2%}); see {folder}/report.html"
        )
    return outcome


def _done(job: Job, display: Display) -> Record | None:
    """Return the record of a fold that is done: trained, measured, its answers as they were written."""
    record = read_record(job, display.say)
    path = answers_path(job)
    if record is None or not path.is_file() or sha256_file(path) != record.measured.get("sha256"):
        return None
    return record


def _gathered(plan: FoldPlan) -> CrossValidation:
    """Join the folds, write their answers, and conclude.

    Raises:
        Damaged: the record or the answers of a fold cannot be read.
    """
    results, parts = [], []
    for job in plan.jobs:
        record = read_record(job)
        if record is None:
            raise Damaged(job.record, "it belongs to another run")
        counted = {name: record.measured[name] for name in ("count", "top1", "balanced_accuracy", "loss")}
        results.append(FoldResult(job.recipe.fold, str(job.folder), **counted))
        parts.append(read_out_of_fold(answers_path(job)))
    answers = joined(parts)
    _refuse_gaps(plan, [len(part.paths) for part in parts], answers.positions.tolist())
    with writing(plan.folder):
        answers.write(plan.folder / OUT_OF_FOLD)
    dataset = dataclasses.replace(plan.dataset, folds=len(parts))
    full = plan.request.full_provenance
    run = load(plan.jobs[0].folder)
    outcome = conclude(plan.folder, dataset, answers, results, run, to_dict(plan.recipe), full=full)
    lost = plan.record.get("missing_weights", "")
    report = dataclasses.replace(outcome.report, remarks=(*outcome.report.remarks, *([lost] if lost else [])))
    return dataclasses.replace(outcome, report=report)


def _refuse_gaps(plan: FoldPlan, counts: Sequence[int], positions: Sequence[int]) -> None:
    """Refuse answers that two folds gave for one image."""
    if len(set(positions)) < sum(counts):
        twice = sorted({position for position in positions if positions.count(position) > 1})
        raise Damaged(plan.folder, f"two folds judge the images {some(map(str, twice), 5)}")


def _document(outcome: CrossValidation) -> str:
    import json

    return json.dumps(outcome.to_dict(), indent=1, allow_nan=False) + "\n"
