"""From a finished run to the result that a study concludes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from residua.evaluation.report.history import read_history
from residua.grids.jobs import Record
from residua.studies.grid import Trial
from residua.studies.study import Arm, Result
from residua.weights.bundle.read import load_bundle
from residua.weights.bundle.value import Bundle


def result_of_trial(trial: Trial, record: Record, params: int, macs: int) -> Result:
    """Return what a trial of a grid gave: of its run, and of the record beside it."""
    folder = trial.job.folder
    bundle, (history, _) = load_bundle(folder), read_history(folder)
    return result_of(
        trial.arm,
        trial.seed,
        bundle,
        params,
        macs,
        history,
        measured=record.measured,
        environment=record.environment,
        minutes=(float(history[-1]["seconds"]) / 60 if history else 0.0) + record.minutes,
        train_count=min(trial.job.recipe.measure_train, int(bundle.data["counts"]["train"])),
    )


def result_of(
    arm: Arm,
    seed: int,
    bundle: Bundle,
    params: int,
    macs: int,
    history: Sequence[dict[str, Any]],
    *,
    measured: Mapping[str, Any],
    environment: Mapping[str, str],
    minutes: float,
    train_count: int,
) -> Result:
    """Return the result of a run, its rates as errors."""
    last = history[-1].get("train_top1") if history else None
    return Result(
        arm=arm.label,
        seed=seed,
        group=arm.group,
        x=arm.x,
        params=params,
        macs=macs,
        test_error=1 - float(bundle.metrics["top1"]),
        test_count=int(bundle.metrics["count"]),
        train_error=None if last is None else 1 - float(last),
        train_count=train_count if last is not None else 0,
        history=tuple(history),
        measured=measured,
        minutes=minutes,
        weights_sha256=bundle.weights_sha256,
        environment=environment,
    )
