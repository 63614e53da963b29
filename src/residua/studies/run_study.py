"""`residua.study`: train what a grid lacks, measure it, conclude, and write one page and one JSON document."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import exclusive
from residua._base.signals import StopRequest
from residua.anatomy.cost import cost
from residua.evaluation.report.report import read_history
from residua.grids.processes import default_jobs, run_jobs
from residua.specs.schema import Spec
from residua.studies.catalog import get_study
from residua.studies.plan import Job, Plan, claim, make_plan
from residua.studies.report import StudyReport, write_study
from residua.studies.study import Arm, Asked, Result, Results, Study
from residua.training.checkpoint import writing
from residua.training.progress import Display
from residua.training.recipe import Recipe
from residua.training.recipe_file import to_dict
from residua.training.request import is_finished
from residua.weights.bundle.bundle import Bundle, load_bundle


def study(
    name: str,
    data: str | Path,
    out: str | Path | None = None,
    *,
    quick: bool = False,
    seeds: int | None = None,
    depths: Sequence[int] = (),
    model: str | None = None,
    runs: Sequence[str | Path] = (),
    recipe: str | Path | Recipe | None = None,
    jobs: int | None = None,
    progress: bool = True,
    data_dir: Path | None = None,
    **overrides: Any,
) -> StudyReport:
    """Do a study and write study.html and study.json into `out`; what is there of it already is not done again.

    Args:
        name: "degradation", "lesion", …; `residua study` lists them.
        data: what `residua train` takes.
        out: the study's folder; by default studies/NAME, or studies/NAME-quick. A study that was killed at any moment
            goes on when it is called again.
        quick: ten minutes on two processors instead of the paper's length; the page says what that can show.
        seeds: how many trainings of each network; they may become more later.
        depths: of the networks, where the study has a choice.
        model: the network that the study takes apart, where it takes one.
        runs: finished runs to measure instead of training networks, where the study takes one apart.
        recipe: a name, a TOML file or a `Recipe` for all networks; by default the form's own.
        jobs: trainings at a time; by default one a processor, at most 8, and one on a GPU.
        progress: whether stderr shows how it goes.
        data_dir: where downloaded archives lie.
        overrides: fields of the recipe, such as epochs=3.

    Raises:
        InputError: anything unusable; a folder that belongs to another study.
        Interrupted: SIGINT or SIGTERM came; everything is saved, the message says how to go on.
    """
    chosen = get_study(name)
    asked = Asked(quick, tuple(depths), model or "")
    _refuse_unheeded(chosen, asked, runs, seeds, recipe, overrides)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs={jobs}", "1 or more trainings at a time", "Leave it out for one a processor")
    folder = Path(out) if out is not None else Path("studies") / f"{name}{'-quick' * quick}{'-runs' * bool(runs)}"
    if runs:
        from residua.studies.finished_runs import study_runs

        return study_runs(chosen, data, folder, runs, asked, data_dir=data_dir, progress=progress)
    plan = make_plan(
        chosen, data, folder, asked=asked, seeds=seeds, recipe=recipe, data_dir=data_dir, overrides=overrides
    )
    command = _command(plan, recipe, jobs, overrides)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder), Display(progress) as display, StopRequest(command) as stop:
        claim(plan)
        costs = _costs(plan)
        missing = [job for job in plan.jobs if not _is_done(job)]
        # Of all trainings, not of those that are left: the threads of each decide its last bits.
        at_once = min(jobs or default_jobs(len(plan.jobs), plan.recipe.device), len(plan.jobs))
        display.say(
            f"{chosen.name}, {'quick' if quick else 'full'} form on {plan.dataset.given}: {len(plan.jobs)} trainings"
            + (f", {len(plan.jobs) - len(missing)} of them done already" if len(missing) < len(plan.jobs) else "")
            + (f"; {at_once} at a time" if missing else "")
        )
        stop.wait()
        work = [(job, float(costs[job.arm.label][1] * (job.recipe.max_steps or job.recipe.epochs))) for job in missing]
        failed = run_jobs(plan, work, at_once, lambda: stop.signal != 0, display.say) if work else {}
        if stop.signal:
            raise stop.interrupted(stop.signal, "with all trainings saved")
        results = tuple(_result(job, *costs[job.arm.label]) for job in plan.jobs if job.name not in failed)
        report = conclude(
            chosen,
            Results(
                tuple({job.arm.label: job.arm for job in plan.jobs}.values()), results, quick, len(plan.dataset.classes)
            ),
            failed=failed,
            data=plan.dataset.describe() | {"given": Path(data).name or str(data), "location": ""},
            recipe=to_dict(plan.recipe),
            seeds=plan.seeds,
            command=command,
        )
        with writing(folder / "study.json"):
            write_study(folder, report)
        display.say(f"{report.verdict.sentence} See {folder}/study.html")
    return report


def conclude(chosen: Study, results: Results, **facts: Any) -> StudyReport:
    """Return the report of what was measured."""
    if not results.results:
        raise InputError(
            f"no network of the study {chosen.name} gave a result: {next(iter(facts['failed'].values()), '')}",
            "at least one that trains",
            "See the reason, then try other --epochs, --batch-size or another --recipe",
        )
    return StudyReport(
        study=chosen,
        results=results,
        outcome=chosen.conclude(results),
        **facts,
    )


def _refuse_unheeded(
    chosen: Study,
    asked: Asked,
    runs: Sequence[str | Path],
    seeds: int | None,
    recipe: object,
    overrides: dict[str, Any],
) -> None:
    """Refuse what the study would not heed."""
    if asked.depths and not chosen.takes_depths:
        raise InputError(f"depths for the study {chosen.name}", "a study of several depths", "Leave --depths out")
    for given, option, taken in ((asked.model, "--model", chosen.takes_model), (runs, "--run", chosen.takes_runs)):
        if given and not taken:
            raise InputError(
                f"{option} for the study {chosen.name}", "a study that takes networks apart", f"Leave {option} out"
            )
    spare = [name for name, value in (("model", asked.model), ("seeds", seeds), ("recipe", recipe)) if value]
    if runs and (spare or overrides):
        raise InputError(
            f"finished runs with {', '.join([*spare, *overrides])}",
            "finished runs, of which nothing is trained, or networks to train",
            "Leave --run out to train, or the others to measure runs",
        )


def _costs(plan: Plan) -> dict[str, tuple[int, int]]:
    """Parameters and MACs of each arm's network, by label."""
    known: dict[Spec, tuple[int, int]] = {}
    for job in plan.jobs:
        if job.spec not in known:
            found = cost(job.spec)
            known[job.spec] = (found.params, found.macs)
    return {job.arm.label: known[job.spec] for job in plan.jobs}


def _is_done(job: Job) -> bool:
    """Whether the arm's bundle is whole and what was measured is of it."""
    measured = _measured(job)
    if measured is None or measured["key"] != job.key or not is_finished(job.folder):
        return False
    try:
        return bool(load_bundle(job.folder).weights_sha256 == measured["weights_sha256"])
    except InputError:
        return False


def _measured(job: Job) -> dict[str, Any] | None:
    try:
        document = json.loads(job.measured.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    needed = {"key", "weights_sha256", "minutes", "measured", "environment"}
    whole = isinstance(document, dict) and needed <= document.keys()
    return document if whole else None


def _result(job: Job, params: int, macs: int) -> Result:
    bundle, measured = load_bundle(job.folder), _measured(job)
    assert measured is not None
    history, _ = read_history(job.folder)
    return result_of(
        job.arm,
        job.seed,
        bundle,
        params,
        macs,
        history,
        measured=measured["measured"],
        environment=measured["environment"],
        minutes=(float(history[-1]["seconds"]) / 60 if history else 0.0) + float(measured["minutes"]),
        train_count=min(job.recipe.measure_train, int(bundle.data["counts"]["train"])),
    )


def result_of(
    arm: Arm,
    seed: int,
    bundle: Bundle,
    params: int,
    macs: int,
    history: Sequence[dict[str, Any]],
    *,
    measured: dict[str, Any],
    environment: dict[str, str],
    minutes: float,
    train_count: int,
) -> Result:
    """Gather what is known of a run."""
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


# The recipe's fields that the command takes.
_OPTIONS = ("epochs", "batch_size", "train_images", "device")


def _command(plan: Plan, recipe: str | Path | Recipe | None, jobs: int | None, overrides: dict[str, Any]) -> str:
    """What repeats the study or goes on with it: words for the shell, or a call where the command cannot say it."""
    asked = plan.asked
    options: dict[str, Any] = {
        "quick": asked.quick,
        "seeds": plan.seeds if plan.seeds != plan.study.form(asked.quick).seeds else None,
        "depths": asked.depths,
        "model": asked.model,
        "recipe": str(recipe) if isinstance(recipe, Path) else recipe,
        "jobs": jobs,
        "data_dir": str(plan.data_dir) if plan.data_dir else None,
    }
    # What was left out is left out; an override is said whatever its value: train_images=0 takes all images.
    options = {key: value for key, value in options.items() if value} | overrides | {"out": str(plan.folder)}
    if isinstance(recipe, Recipe) or not overrides.keys() <= set(_OPTIONS):
        said = "".join(f", {key}={value!r}" for key, value in options.items())
        return f"residua.study({plan.study.name!r}, {plan.data!r}{said})"
    words = ["residua", "study", plan.study.name, plan.data]
    for key, value in options.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [f"--{key.replace('_', '-')}", *([] if value is True else [text])]
    return shlex.join(words)
