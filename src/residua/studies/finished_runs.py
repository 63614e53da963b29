"""Study finished runs: nothing is trained, the networks are measured as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from residua._base.console import Display
from residua._base.errors import InputError
from residua._base.files import writing
from residua._base.lock import exclusive
from residua._base.plain import plain
from residua._base.run_files import LOCK_FILE
from residua._base.words import some
from residua.anatomy.cost import cost
from residua.evaluation.evaluate import evaluate_model
from residua.evaluation.report.study_section import STUDY_HTML, STUDY_JSON
from residua.evaluation.run_data import open_for, refuse_multilabel
from residua.runtime.environment import environment
from residua.studies.command import command_of_runs
from residua.studies.measures.subject import Subject
from residua.studies.measures.surgery import named_units, residual
from residua.studies.report import FIGURES, StudyReport, conclude, described, write_study
from residua.studies.study import Arm, Result, Results, Study, StudyOptions
from residua.weights.open import load

FILES = (STUDY_HTML, STUDY_JSON, FIGURES, LOCK_FILE)


def study_runs(
    chosen: Study,
    data: str | Path,
    folder: Path,
    runs: Sequence[str | Path],
    options: StudyOptions,
    *,
    data_dir: Path | None,
    progress: bool,
) -> StudyReport:
    """Measure finished runs on the held-out part of the data, and conclude.

    Raises:
        InputError: a run that cannot be loaded, is named twice, or has different classes than the data; a network
            that the study cannot take apart; a folder that holds something else.
    """
    assert chosen.measure is not None
    loaded = [refuse_multilabel(load(run)) for run in runs]
    names = [run.name for run in loaded]
    if len(set(names)) != len(names):
        raise InputError(
            f"the runs {some(names)}", "runs whose folders have different names", "Rename one, or leave it out"
        )
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in FILES) if folder.is_dir() else []
    if others:
        raise InputError(f"{folder} already holds {some(others)}", "a folder of its own", "Give a different out=…")
    subjects = [Subject(run, open_for(run, data, data_dir, None), options.quick, 0) for run in loaded]
    for subject in subjects:
        subject.split()  # refuses different classes
        residual(subject.model)
    dataset = subjects[0].dataset
    results, arms = [], []
    with Display(progress) as display:
        for name, subject in zip(names, subjects, strict=True):
            spec = subject.run.spec
            display.say(f"Measuring {name} ({spec.name})")
            arms.append(_arm(name, subject))
            results.append(_result(chosen, arms[-1], subject))
        report = conclude(
            chosen,
            Results(tuple(arms), tuple(results), options.quick, len(dataset.classes)),
            failed={},
            data=described(dataset, (data, folder, data_dir)),
            recipe=None,
            seeds=1,
            command=command_of_runs(chosen.name, data, runs, folder, quick=options.quick, named=True),
        )
        with writing(folder), exclusive(folder):
            write_study(folder, report)
        display.say(f"{report.verdict.sentence} See {folder}/study.html")
    return report


def _arm(name: str, subject: Subject) -> Arm:
    """Return the run as an arm: plain or residual, at its depth, counted as the papers do with stem and classifier."""
    network = residual(subject.model)
    kind = "plain" if network.spec.shortcut == "none" else "residual"
    depth = 2 + sum(unit.depth for unit in named_units(network).values())
    return Arm(name, network.spec.name, group=kind, x=depth)


def _result(chosen: Study, arm: Arm, subject: Subject) -> Result:
    assert chosen.measure is not None
    run = subject.run
    metrics = evaluate_model(run.model, subject.split(), run.preprocess_spec, run.classes, on_bad="skip")
    counts = cost(run.spec)
    return Result(
        arm=arm.label,
        seed=int((run.recipe or {}).get("seed", 0)),
        group=arm.group,
        x=arm.x,
        params=counts.params,
        macs=counts.macs,
        test_error=1 - metrics.top1,
        test_count=metrics.count,
        train_error=None,
        train_count=0,
        history=(),
        measured=plain(chosen.measure(subject)),
        minutes=0.0,
        weights_sha256=run.weights_sha256,
        environment=environment(),
    )
