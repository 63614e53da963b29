"""A sweep, from its networks and values to a table of means."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

from residua._base.console import Display
from residua._base.errors import Damaged, InputError, did_you_mean
from residua._base.files import write_text, writing
from residua._base.json_file import read_json_lines
from residua._base.lock import exclusive
from residua._base.packages import package
from residua._base.public import public_name, public_text
from residua._base.run_files import HISTORY_FILE, MODEL_FILE
from residua._base.signals import StopRequest
from residua._base.words import agree, counted, some, worded
from residua.data.tables.label_table import ColumnNames, label_table
from residua.grids.jobs import Job, read_record
from residua.specs.fields import written
from residua.sweeps.best_of import best_of
from residua.sweeps.halving import GROUP
from residua.sweeps.launch import launcher_of
from residua.sweeps.outcome import RunResult, Sweep, best_runs, cell_result, ranked
from residua.sweeps.page import render
from residua.sweeps.plan import Member, SweepPlan, beginning, claim_sweep, share_of
from residua.sweeps.search import Trials, corners, identity_of, planner
from residua.sweeps.search import search as search_best
from residua.sweeps.search_space import space_of
from residua.sweeps.space import cells_of
from residua.training.recipe import Recipe
from residua.training.request import table_words
from residua.weights.bundle.read import load_bundle

TRIALS = 27
"""Of a search, in all: three groups of nine."""


class _Line(TypedDict):
    seconds: float


def sweep(
    data: str | Path,
    models: str | Sequence[str],
    out: str | Path = "runs/sweep",
    *,
    seeds: int = 3,
    grid: Mapping[str, Sequence[Any]] | None = None,
    recipe: str | Path | Recipe | None = None,
    only: Collection[str] = (),
    jobs: int | None = None,
    progress: bool = True,
    data_dir: Path | None = None,
    labels: str | Path | None = None,
    columns: ColumnNames = None,
    groups: str | None = None,
    search: Literal["optuna"] | None = None,
    trials: int | None = None,
    ensemble: int = 0,
    launcher: Literal["ray"] | None = None,
    cpus_per_run: int | None = None,
    address: str | None = None,
) -> Sweep:
    """Train every network with every combination of values and every seed, and compare the means over the seeds.

    With `search`, values are found instead: a range such as "0.01:0.5:log" is drawn from, and so are lists of values
    and networks. Trials are halved by whole epochs (`residua.sweeps.halving`), on a seed of their own and by validation
    accuracy. The best is then trained with every seed, and only these runs are averaged.

    Each is a run like any other, in a process of its own, in a folder named by its id. The id follows from all that
    decides the weights: the same call goes on with a sweep, and networks, values and seeds may join later.

    Args:
        data: as for `train`.
        models: names of networks.
        out: the folder: a run per id, sweep.html, sweep.json.
        seeds: of each cell, counted from 0.
        grid: values by field of the recipe, such as {"learning_rate": [0.05, 0.1], "epochs": [5]}.
        recipe: as for `train`, for all runs.
        only: ids of the runs that are trained now; all by default.
        jobs: runs at a time; by default as many as the sweep was begun with, at first one per processor, at most 8,
            and one on a GPU.
        progress: whether stderr shows the progress.
        data_dir, labels, columns, groups: as for `train`.
        search: "optuna" proposes trials (TPE; extra `optuna`); their journal is a file in the folder.
        trials: of the search, in all; None for 27. The same call with more goes on.
        ensemble: average the probabilities of so many runs, those with the best validation accuracy. Gain and cost are
            measured on the test part, and a folder holds it for `predict`; 0 for none.
        launcher: "ray" trains the runs as tasks of Ray (extra `ray`), on as many machines as its cluster has. All of
            them see data and `out` under the same paths. Where a worker dies, its run goes on elsewhere.
        cpus_per_run: with it, processors and threads of each run; by default those that the sweep was begun with, at
            first 1. A run has a GPU of its own where the cluster has some.
        address: with it, of the cluster; by default that of $RAY_ADDRESS, else a cluster of this machine alone.

    Raises:
        InputError: unusable input of any cell, before the first run begins; a folder of other data or another search;
            an unknown id; ranges without a search.
        Interrupted: SIGINT or SIGTERM came; everything is saved, and the message states how to go on.
    """
    launch = launcher_of(launcher, jobs, cpus_per_run, address)
    if seeds < 1:
        raise InputError(f"seeds={seeds}", "1 or more", "Use seeds=3 for intervals over seeds")
    names = [models] if isinstance(models, str) else list(models)
    table = label_table(labels, columns, groups)
    plan_cells = planner(data, recipe, data_dir, table)
    space = None
    tried = TRIALS if trials is None else trials
    if search is None:
        if trials is not None:
            raise InputError(f"trials={trials} without search", "both", "Give search='optuna' too")
        plan = plan_cells(cells_of(names, grid or {}), out, seeds=range(seeds))
    else:
        if only:
            raise InputError(f"only={list(only)} of a search", "all of its trials", "Leave only out")
        if trials is not None and trials < 1:
            raise InputError(f"trials={trials}", "one trial or more", "For example trials=12")
        package("optuna", "optuna")  # before anything is written
        space = space_of(names, grid or {})
        plan = corners(space, Path(out), plan_cells)
    _check_ensemble(ensemble, plan, seeds)
    known = {member.job.name: member for member in plan.members}
    for name in only:
        if name not in known:
            remedy = did_you_mean(name, known) or f"Use one of these: {some(known)}"
            raise InputError(f"only={name!r}", "the id of a run of this sweep", remedy)
    words = ["residua", "sweep", str(data), "--model", ",".join(names), "--seeds", str(seeds)]
    for field, values in (grid or {}).items():
        # Commas divide the values, spaces the entries of one.
        words += ["--grid", f"{field}={','.join(written(value).replace(',', ' ') for value in values)}"]
    words += ["--search", search, "--trials", str(tried)] if search else []
    words += ["--ensemble", str(ensemble)] if ensemble else []
    words += ["--recipe", str(recipe)] if isinstance(recipe, str | Path) else []
    words += ["--data-dir", str(data_dir)] if data_dir else []
    words += table_words(table) if table else []
    words += launch.words
    command = shlex.join([*words, "--out", str(out)])
    folder = Path(out)
    made = not folder.exists()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with (
        exclusive(folder),
        beginning(folder, made=made),
        Display(progress) as display,
        StopRequest(command) as stop,
        ExitStack() as stack,
    ):
        # Counted over all runs, not only the missing ones: the number of threads decides the last bits of each.
        before = share_of(folder)
        count = len(known) if space is None else max(min(tried, GROUP), seeds)
        share = launch.share(count, plan.members[0].job.recipe.device, before)
        claim_sweep(folder, plan.dataset, share)
        if warning := share.difference(before):
            display.warn(warning)
        for sentence in plan.missing_weights:
            display.warn(sentence)
        for note in plan.notes:
            display.say(worded(note))

        def run(jobs: Sequence[Job]) -> dict[str, str]:
            stop.wait()
            return launch.run(jobs, share, folder / "logs", lambda: stop.signal != 0, display.say, stack)

        searched = None
        if space is not None:
            how = Trials(space, folder, plan_cells, run, lambda: stop.signal != 0, display.say)
            answer = search_best(how, tried, identity_of(space, plan))
            if answer is None:
                raise stop.interrupted(stop.signal, "with all runs saved")
            searched, best = answer
            display.say(f"The best of {len(searched.trials)} trials: {best.label}")
            plan = plan_cells([best], out, seeds=range(seeds))
        missing = [member.job for member in plan.members if read_record(member.job, display.say) is None]
        chosen = [job for job in missing if not only or job.name in only]
        display.say(
            f"{counted(len(plan.cells), 'cell')} of {counted(seeds, 'seed')} on {plan.dataset.given}: "
            f"{counted(len(plan.members), 'run')}, {len(plan.members) - len(missing)} of them done already"
            + (f"; {share.words}" if chosen else "")
        )
        failed = run(chosen)
        if stop.signal:
            raise stop.interrupted(stop.signal, "with all runs saved")
        reasons = {name: public_text(reason, (data, folder)) for name, reason in failed.items()}
        outcome = replace(_outcome(plan, seeds, reasons), search=searched)
        if space is None and (others := _others(plan)):
            outcome = replace(outcome, others=others)
            display.say(
                f"{counted(others, 'other finished run')} of {folder}, of cells or seeds that this command does not "
                f"name, {agree(others, 'is', 'are')} not in the table: name all of them to see them side by side"
            )
        if ensemble and len(ids := best_runs(outcome.cells, ensemble)) > 1:
            outcome = replace(outcome, ensemble=best_of(folder, ids, data_dir))
        with writing(folder):
            write_text(folder / "sweep.json", json.dumps(outcome.to_dict(), indent=1, allow_nan=False) + "\n")
            shown = public_text(command, (data, out))
            write_text(folder / "sweep.html", render(outcome, shown, whole=shown == command))
        display.say(f"See {folder}/sweep.html")
    return outcome


def _check_ensemble(ensemble: int, plan: SweepPlan, seeds: int) -> None:
    if not ensemble:
        return
    runs = max(len(plan.members), seeds)
    if not 2 <= ensemble <= runs:
        raise InputError(
            f"ensemble={ensemble} of a sweep of {counted(runs, 'run')}",
            "2 or more of its runs, and not more than it has",
            f"Use ensemble={runs}" if runs > 1 else "Give seeds=5",
        )
    if "test" not in plan.dataset.splits or not all(member.val_count for member in plan.members):
        raise InputError(
            f"ensemble={ensemble} of {plan.dataset.given}, without a validation or a test part",
            "images to choose the runs by, and others that none of them has seen",
            f"Leave ensemble={ensemble} out, or put test images into a folder test/",
        )


def _outcome(plan: SweepPlan, seeds: int, failed: dict[str, str]) -> Sweep:
    results, left = [], []
    for cell in plan.cells:
        runs = []
        members = [each for each in plan.members if each.cell is cell]
        for member in members:
            if member.job.name in failed:
                continue
            if read_record(member.job) is None:
                left.append(member.job.name)
                continue
            try:
                runs.append(_result(member))
            except (Damaged, KeyError, TypeError) as error:
                failed[member.job.name] = f"its run cannot be read: {type(error).__name__}: {error}"
        if runs:
            results.append(cell_result(cell, runs, members[0].val_count))
    return Sweep(plan.folder, public_name(plan.dataset.given), seeds, ranked(results), failed, tuple(left))


def _others(plan: SweepPlan) -> int:
    """Return how many finished runs of the folder are none of the plan's."""
    names = {member.job.name for member in plan.members}
    return sum(path.parent.name not in names for path in plan.folder.glob(f"*-seed*/{MODEL_FILE}"))


def _result(member: Member) -> RunResult:
    metrics = load_bundle(member.job.folder).metrics
    lines = read_json_lines(member.job.folder / HISTORY_FILE, _Line)
    return RunResult(
        member.job.name,
        member.seed,
        metrics["split"],
        metrics["count"],
        metrics["top1"],
        metrics["loss"],
        metrics.get("best_val_top1"),
        lines[-1]["seconds"] if lines else 0.0,
    )
