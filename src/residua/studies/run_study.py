"""`residua.study`: train the networks of a grid, measure them, conclude, and write one page and one JSON document."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from residua._base.console import Display
from residua._base.errors import InputError
from residua._base.files import writing
from residua._base.lock import exclusive
from residua._base.public import public_text
from residua._base.signals import StopRequest
from residua.anatomy.cost import cost
from residua.grids.jobs import read_record
from residua.grids.processes import default_jobs, run_jobs
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec
from residua.studies.catalog import get_study
from residua.studies.command import command_of
from residua.studies.finished_runs import study_runs
from residua.studies.grid import Grid, Trial, claim, make_grid
from residua.studies.report import StudyReport, conclude, described, write_study
from residua.studies.results import result_of_trial
from residua.studies.study import Result, Results, Study, StudyOptions
from residua.training.recipe import Recipe
from residua.training.recipe_file import to_dict

_DEEPEST = 100_000  # layers: more than memory holds


def study(
    name: str,
    data: str | Path,
    out: str | Path | None = None,
    *,
    quick: bool = False,
    seeds: int | None = None,
    depths: Sequence[int] = (),
    model: str | None = None,
    groups: Sequence[str] = (),
    runs: Sequence[str | Path] = (),
    recipe: str | Path | Recipe | None = None,
    jobs: int | None = None,
    progress: bool = True,
    data_dir: Path | None = None,
    **overrides: Any,
) -> StudyReport:
    """Do a study and write study.html and study.json into `out`; what is done already is not repeated.

    Args:
        name: "degradation", "lesion", …; `residua study` lists them.
        data: what `residua train` takes.
        out: the study's folder; by default studies/NAME, or studies/NAME-quick. A study that was killed continues
            when it is called again.
        quick: about ten minutes on two processors instead of the paper's length; the page states what that can show.
        seeds: how many trainings of each network; they may become more later.
        depths: of the networks, where the study has a choice.
        model: the network that the study takes apart, where it takes one.
        groups: the groups of networks to train, such as ("plain", "residual"); by default all.
        runs: finished runs to measure instead of training networks, where the study takes one apart.
        recipe: a name, a TOML file or a `Recipe` for all networks; by default the form's own.
        jobs: trainings at a time; by default one per processor, at most 8, and one on a GPU.
        progress: whether stderr shows the progress.
        data_dir: where downloaded archives lie.
        overrides: fields of the recipe, such as epochs=3.

    Raises:
        InputError: anything unusable; a folder that belongs to a different study.
        Interrupted: SIGINT or SIGTERM came; everything is saved, and the message states how to continue.
    """
    chosen = get_study(name)
    if model == "":  # which in StudyOptions stands for the study's own
        get_spec(model)
    options = StudyOptions(quick, tuple(depths), model or "", tuple(groups))
    _refuse_unused(chosen, options, runs, seeds, recipe, overrides)
    for depth in options.depths:
        if not 0 < depth <= _DEEPEST:
            raise InputError(f"depth {depth}", f"depths from 1 to {_DEEPEST:,}", "For example depths=20")
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs={jobs}", "1 or more trainings at a time", "Leave it out for one per processor")
    folder = Path(out) if out is not None else Path("studies") / f"{name}{'-quick' * quick}{'-runs' * bool(runs)}"
    if runs:
        return study_runs(chosen, data, folder, runs, options, data_dir=data_dir, progress=progress)
    grid = make_grid(
        chosen, data, folder, options=options, seeds=seeds, recipe=recipe, data_dir=data_dir, overrides=overrides
    )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    resume = command_of(grid, recipe, jobs, overrides)
    with exclusive(folder), Display(progress) as display, StopRequest(resume) as stop:
        claim(grid)
        trials, costs = grid.trials, _costs(grid)
        missing = [one for one in trials if read_record(one.job, display.say) is None]
        # Counted over all trainings, not only the missing ones: the number of threads decides the last bits of each.
        at_once = min(jobs or default_jobs(len(trials), grid.recipe.device), len(trials))
        display.say(
            f"{chosen.name}, {'quick' if quick else 'full'} form on {grid.dataset.given}: {len(trials)} trainings"
            + (f", {len(trials) - len(missing)} of them done already" if len(missing) < len(trials) else "")
            + (f"; {at_once} at a time" if missing else "")
        )
        stop.wait()
        work = [
            dataclasses.replace(
                one.job, work=float(costs[one.job.spec][1] * (one.job.recipe.max_steps or one.job.recipe.epochs))
            )
            for one in missing
        ]
        failed = run_jobs(
            work, at_once=at_once, logs=folder / "logs", stopped=lambda: stop.signal != 0, say=display.say
        )
        if stop.signal:
            raise stop.interrupted(stop.signal, "with all trainings saved")
        results, unread = _gathered(trials, costs)
        known = (data, folder, data_dir, Path.home())
        report = conclude(
            chosen,
            Results(grid.arms, results, quick, len(grid.dataset.classes)),
            failed={name: public_text(reason, known) for name, reason in (unread | failed).items()},
            data=described(grid.dataset, known),
            recipe=to_dict(grid.recipe),
            seeds=grid.seeds,
            command=command_of(grid, recipe, jobs, overrides, named=True),
        )
        with writing(folder / "study.json"):
            write_study(folder, report)
        display.say(f"{report.verdict.sentence} See {folder}/study.html")
    return report


def _refuse_unused(
    chosen: Study,
    options: StudyOptions,
    runs: Sequence[str | Path],
    seeds: int | None,
    recipe: object,
    overrides: dict[str, Any],
) -> None:
    """Refuse what the study would not use."""
    if options.depths and not chosen.takes_depths:
        raise InputError(f"depths=… for the study {chosen.name}", "a study of several depths", "Leave out depths=…")
    for chosen_value, field, taken in (
        (options.model, "model=…", chosen.takes_model),
        (runs, "runs=…", chosen.takes_runs),
    ):
        if chosen_value and not taken:
            raise InputError(
                f"{field} for the study {chosen.name}", "a study that takes networks apart", f"Leave out {field}"
            )
    spare = [
        name
        for name, value in (("model", options.model), ("groups", options.groups), ("seeds", seeds), ("recipe", recipe))
        if value
    ]
    if runs and (spare or overrides):
        raise InputError(
            f"finished runs with {', '.join([*spare, *overrides])}",
            "finished runs, of which nothing is trained, or networks to train",
            "Leave out runs=… to train, or the other fields to measure runs",
        )


def _gathered(
    trials: Sequence[Trial], costs: Mapping[Spec, tuple[int, int]]
) -> tuple[tuple[Result, ...], dict[str, str]]:
    """Return the results, and why a trial has none, by its name."""
    results, unread = [], {}
    for trial in trials:
        record = read_record(trial.job)
        if record is None:
            unread[trial.job.name] = "its record cannot be read"
            continue
        try:
            results.append(result_of_trial(trial, record, *costs[trial.job.spec]))
        except (KeyError, ValueError, TypeError) as error:
            unread[trial.job.name] = f"its run cannot be read: {type(error).__name__}: {error}"
    return tuple(results), unread


def _costs(grid: Grid) -> dict[Spec, tuple[int, int]]:
    """Return the parameters and MACs of each network, for images of the recipe's size."""
    known: dict[Spec, tuple[int, int]] = {}
    for trial in grid.trials:
        if trial.job.spec not in known:
            size = trial.job.recipe.image_size or trial.job.spec.input_size
            anatomy = cost(trial.job.spec.edit(input_size=size))
            known[trial.job.spec] = (anatomy.params, anatomy.macs)
    return known
