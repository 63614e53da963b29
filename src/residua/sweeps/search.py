"""Search the values of a recipe: groups of trials, each halved rung by rung, on a seed that no mean contains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.words import agree
from residua.data.tables.label_table import LabelTable
from residua.grids.jobs import Job, read_record
from residua.sweeps.halving import GROUP, RUNGS, kept, shortened
from residua.sweeps.plan import Member, SweepPlan, plan_sweep
from residua.sweeps.search_space import SearchSpace
from residua.sweeps.space import Cell
from residua.sweeps.study import Journal
from residua.training.recipe import FREE_FIELDS, Recipe
from residua.training.recipe_file import to_dict
from residua.weights.bundle.read import load_bundle

SEED = 2**31 - 1
"""Of every trial. The runs that are averaged count theirs from 0."""
FOLDER = "search"

RunJobs = Callable[[Sequence[Job]], dict[str, str]]


@dataclass(frozen=True)
class Trial:
    """A choice of values that was tried.

    Attributes:
        number: in the order of proposal, from 0.
        label: the network and its values.
        values: validation accuracy of each rung that it reached, the last of them the longest training; fractions of 1.
        whole: whether the last one is of the whole training.
        runs: ids of its runs, in the folder "search".
        failed: why it gave no result, "" elsewhere.
    """

    number: int
    label: str
    values: tuple[float, ...]
    whole: bool
    runs: tuple[str, ...]
    failed: str = ""


@dataclass(frozen=True)
class Search:
    """What a search has shown.

    Attributes:
        by: what proposed the trials: "optuna".
        seed: of each trial's run, apart from those that are averaged.
        trials: by number.
        best: number of the one with the best whole training.
    """

    by: str
    seed: int
    trials: tuple[Trial, ...]
    best: int


@dataclass(frozen=True)
class Trials:
    """How trials are planned and trained.

    Attributes:
        space: what they are drawn from.
        folder: of the sweep.
        plan: plans the runs of cells: called with cells, a folder, and keywords of `plan_sweep`.
        run: trains jobs; returns the reason of each that failed, by name.
        stopped: whether a signal has come.
        say: prints a line.
    """

    space: SearchSpace
    folder: Path
    plan: Callable[..., SweepPlan]
    run: RunJobs
    stopped: Callable[[], bool]
    say: Callable[[str], None]


def planner(
    data: str | Path, recipe: str | Path | Recipe | None, data_dir: Path | None, table: LabelTable | None
) -> Callable[..., SweepPlan]:
    """Return `plan_sweep` for this data and recipe."""
    return partial(plan_sweep, data, recipe=recipe, data_dir=data_dir, table=table)


def corners(space: SearchSpace, folder: Path, plan: Callable[..., SweepPlan]) -> SweepPlan:
    """Settle the runs at the ends of the space, so that all that is wrong with it is refused before the first run.

    Raises:
        InputError: as `plan_sweep`; a schedule that cannot be shortened; data without a validation part.
    """
    settled = plan(space.corners(), folder / FOLDER, seeds=(SEED,), change=lambda recipe: shortened(recipe, RUNGS[0]))
    if not all(member.val_count for member in settled.members):
        raise InputError(
            "a search without validation images",
            "images to judge trials by, which no result is stated of",
            "Give val_fraction=0.1",
        )
    return settled


def search(trials: Trials, count: int, identity: Mapping[str, Any]) -> tuple[Search, Cell] | None:
    """Try `count` choices of values, and return the outcome and the best cell; None where a signal stopped it.

    Raises:
        InputError: as `Journal`; no trial came to its end.
    """
    journal = Journal(trials.folder, trials.space, identity)
    done: dict[int, Trial] = {}
    for group in journal.groups:
        if trials.stopped() or not _group(trials, journal, group, done):
            return None
    while (begun := sum(map(len, journal.groups))) < count:
        group = journal.begin(min(GROUP, count - begun))
        trials.say(f"Trials {group[0] + 1} to {group[-1] + 1} of {count}")
        if not _group(trials, journal, group, done):
            return None
    ended = [each for each in done.values() if each.whole]
    if not ended:
        reasons = "; ".join(dict.fromkeys(each.failed for each in done.values() if each.failed))
        raise InputError(
            f"a search of which no trial came to its end: {reasons}", "values that train", "Narrow the ranges"
        )
    best = max(ended, key=lambda each: (each.values[-1], -each.number))
    outcome = Search("optuna", SEED, tuple(done[number] for number in sorted(done)), best.number)
    return outcome, trials.space.cell(journal.drawn(best.number))


def identity_of(space: SearchSpace, plan: SweepPlan) -> dict[str, Any]:
    """Return what a search must keep to go on: the space, and the recipe of its first corner."""
    recipe = to_dict(plan.members[0].job.recipe)
    return {"space": space.to_dict(), "recipe": {key: recipe[key] for key in recipe if key not in FREE_FIELDS}}


def _group(trials: Trials, journal: Journal, group: Sequence[int], done: dict[int, Trial]) -> bool:
    """Train the trials that began together, a third of them further; return False where a signal came.

    Runs that are done already are not trained again: a group that was killed comes to the same end.
    """
    cells = {number: trials.space.cell(journal.drawn(number)) for number in group}
    values: dict[int, list[float]] = {number: [] for number in group}
    names: dict[int, list[str]] = {number: [] for number in group}
    failed: dict[int, str] = {}
    alive = list(group)
    for rung, divisor in enumerate(RUNGS):
        if len(alive) == 1 and divisor != 1:
            continue
        members = _members(trials, {number: cells[number] for number in alive}, divisor)
        jobs = {each.job.name: each.job for each in members.values()}
        reasons = trials.run([job for job in jobs.values() if read_record(job) is None])
        if trials.stopped():
            return False
        for number, member in members.items():
            names[number].append(member.job.name)
            if member.job.name in reasons:
                failed[number] = reasons[member.job.name]
            else:
                values[number].append(float(load_bundle(member.job.folder).metrics["best_val_top1"]))
        alive = [number for number in alive if number not in failed]
        if divisor != 1:
            alive = kept({number: values[number][-1] for number in alive})
        if not alive:
            break
        if divisor != 1:
            further, many = ", ".join(str(each + 1) for each in alive), len(alive)
            words = agree(many, f"trial {further} goes on", f"trials {further} go on")
            trials.say(f"Rung {rung + 1} of {len(RUNGS)}: {words}")
    for number in group:
        done[number] = Trial(
            number,
            cells[number].label,
            tuple(values[number]),
            number in alive,
            tuple(names[number]),
            failed.get(number, ""),
        )
        journal.conclude(number, values[number], whole=number in alive)
    return True


def _members(trials: Trials, cells: Mapping[int, Cell], divisor: int) -> dict[int, Member]:
    """Return the run of each trial on a rung; trials of equal values share one."""
    words = {number: f"{cell.model} {sorted(cell.fields.items())}" for number, cell in cells.items()}
    unlike = {words[number]: cell for number, cell in cells.items()}
    plan = trials.plan(
        list(unlike.values()), trials.folder / FOLDER, seeds=(SEED,), change=lambda recipe: shortened(recipe, divisor)
    )
    of = dict(zip(unlike, plan.members, strict=True))
    return {number: of[words[number]] for number in cells}
