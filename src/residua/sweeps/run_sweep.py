"""A sweep, from its networks and values to a table of means."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from residua._base.console import Display
from residua._base.errors import Damaged, InputError, did_you_mean
from residua._base.files import write_text, writing
from residua._base.json_file import read_json_lines
from residua._base.lock import exclusive
from residua._base.public import public_name, public_text
from residua._base.run_files import HISTORY_FILE
from residua._base.signals import StopRequest
from residua.data.tables.label_table import ColumnNames, label_table
from residua.grids.jobs import read_record
from residua.grids.processes import default_jobs, run_jobs
from residua.specs.fields import written
from residua.sweeps.outcome import RunResult, Sweep, cell_result, ranked
from residua.sweeps.page import render
from residua.sweeps.plan import Member, SweepPlan, claim_sweep, jobs_of, plan_sweep
from residua.sweeps.space import cells_of
from residua.training.recipe import Recipe
from residua.training.request import jobs_words, table_words
from residua.weights.bundle.read import load_bundle


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
) -> Sweep:
    """Train every network with every combination of values and every seed, and compare the means over the seeds.

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

    Raises:
        InputError: unusable input of any cell, before the first run begins; a folder of other data; an unknown id.
        Interrupted: SIGINT or SIGTERM came; everything is saved, and the message states how to go on.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs={jobs}", "1 or more runs at a time", "Leave it out for one per processor")
    names = [models] if isinstance(models, str) else list(models)
    cells = cells_of(names, grid or {})
    table = label_table(labels, columns, groups)
    plan = plan_sweep(data, cells, out, seeds=seeds, recipe=recipe, data_dir=data_dir, table=table)
    known = {member.job.name: member for member in plan.members}
    for name in only:
        if name not in known:
            raise InputError(f"only={name!r}", "the id of a run of this sweep", did_you_mean(name, known) or "See out")
    words = ["residua", "sweep", str(data), "--model", ",".join(names), "--seeds", str(seeds)]
    for field, values in (grid or {}).items():
        # Commas divide the values, spaces the entries of one.
        words += ["--grid", f"{field}={','.join(written(value).replace(',', ' ') for value in values)}"]
    words += ["--recipe", str(recipe)] if isinstance(recipe, str | Path) else []
    words += ["--data-dir", str(data_dir)] if data_dir else []
    words += table_words(table) if table else []
    words += jobs_words(jobs)
    command = shlex.join([*words, "--out", str(out)])
    with writing(plan.folder):
        plan.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(plan.folder), Display(progress) as display, StopRequest(command) as stop:
        # Counted over all runs, not only the missing ones: the number of threads decides the last bits of each.
        begun_with = jobs_of(plan.folder)
        at_once = min(jobs or default_jobs(len(known), plan.members[0].job.recipe.device), len(known))
        if begun_with and jobs in (None, begun_with):
            at_once = begun_with
        claim_sweep(plan, at_once)
        if begun_with not in (None, at_once):
            display.warn(f"{at_once} runs at a time, and {begun_with} before: their last bits differ")
        for sentence in plan.missing_weights:
            display.warn(sentence)
        missing = [member.job for member in plan.members if read_record(member.job, display.say) is None]
        chosen = [job for job in missing if not only or job.name in only]
        display.say(
            f"{len(cells)} cells of {seeds} seeds on {plan.dataset.given}: {len(known)} runs, "
            f"{len(known) - len(missing)} of them done already" + (f"; {at_once} at a time" if chosen else "")
        )
        stop.wait()
        failed = run_jobs(
            chosen, at_once=at_once, logs=plan.folder / "logs", stopped=lambda: stop.signal != 0, say=display.say
        )
        if stop.signal:
            raise stop.interrupted(stop.signal, "with all runs saved")
        reasons = {name: public_text(reason, (data, plan.folder)) for name, reason in failed.items()}
        outcome = _outcome(plan, seeds, reasons)
        with writing(plan.folder):
            write_text(plan.folder / "sweep.json", json.dumps(outcome.to_dict(), indent=1, allow_nan=False) + "\n")
            write_text(plan.folder / "sweep.html", render(outcome, public_text(command, (data, out))))
        display.say(f"See {plan.folder}/sweep.html")
    return outcome


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
