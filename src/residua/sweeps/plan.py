"""A sweep, settled before it starts: a job per cell and seed, under an id that its content decides."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from residua._base.errors import InputError
from residua._base.files import check_local, write_text
from residua._base.json_file import read_json
from residua._base.run_files import LOCK_FILE
from residua._base.subprocesses import processors
from residua._base.words import counted, some
from residua.data.dataset import Dataset
from residua.data.tables.label_table import LabelTable
from residua.grids.jobs import Job, absolute
from residua.sweeps.space import Cell
from residua.training.recipe import FREE_FIELDS, Recipe
from residua.training.recipe_file import to_dict
from residua.training.request import Request, ask

SWEEP_FILE = "plan.json"
_LOGS = "logs"
_OF_DATA = ("val_fraction", "train_images", "on_bad", "validate_on", "seed")  # fields that choose the images


class _Record(TypedDict):
    data_hash: str
    jobs: NotRequired[int]
    threads: NotRequired[int]


@dataclass(frozen=True)
class Member:
    """One cell with one seed.

    Attributes:
        cell: the network and its values.
        seed: of the run.
        job: its training.
        val_count: images that validate it; 0 without any.
    """

    cell: Cell
    seed: int
    job: Job
    val_count: int


@dataclass(frozen=True)
class SweepPlan:
    """A sweep before it starts.

    Attributes:
        folder: of the sweep; it holds a run per id.
        dataset: the opened data.
        cells: in the order of the sweep.
        members: cell by cell, seed by seed.
        missing_weights: a sentence for each network that begins without the published weights that were wanted.
        notes: what networks and data change in the recipe, sentences.
    """

    folder: Path
    dataset: Dataset
    cells: tuple[Cell, ...]
    members: tuple[Member, ...]
    missing_weights: tuple[str, ...]
    notes: tuple[str, ...]


def plan_sweep(
    data: str | Path,
    cells: Sequence[Cell],
    out: str | Path,
    *,
    seeds: Sequence[int],
    recipe: str | Path | Recipe | None,
    data_dir: Path | None,
    table: LabelTable | None,
    change: Callable[[Recipe], Recipe] = lambda recipe: recipe,
) -> SweepPlan:
    """Settle every run and open the data; nothing is written.

    Args:
        data, recipe, data_dir, table: as for `train`.
        cells: networks and values.
        out: the folder that holds the runs.
        seeds: of each cell.
        change: called with the recipe of each cell, returns that of its runs.

    Raises:
        InputError: as `train`, for any cell: before the first run begins.
    """
    check_local("out", out)
    folder = Path(out)
    opened: dict[tuple[Any, ...], Dataset] = {}
    members, missing = [], []
    notes: list[str] = []
    for cell in cells:
        request = ask(data, cell.model, recipe, folder, resume=False, data_dir=data_dir, table=table, **cell.fields)
        if request.trials:
            raise InputError("batch_size='auto' in a sweep", "a number, which all runs share", "Name it")
        large = request.recipes.large
        images = tuple(getattr(large, name) for name in _OF_DATA)
        if images not in opened:
            opened[images] = large.open_data(data, data_dir, table, None)
        dataset = opened[images]
        if dataset.multilabel:
            raise InputError(
                f"a sweep of {dataset.given}, whose images may have several labels",
                "one label per image: cells are ranked by top-1",
                "Train each run by itself, and compare them",
            )
        missing.append(request.missing_weights)
        count = len(dataset.splits["train"])
        notes += request.notes_for(count)
        own = change(request.recipes.of(count))
        val_count = len(dataset.splits.get(own.validate_on, ()))
        members += [Member(cell, seed, _job(request, own, seed, dataset, folder), val_count) for seed in seeds]
    names = [member.job.name for member in members]
    if len(set(names)) != len(names):
        raise InputError("two cells that are the same run", "values that differ", "Name each value once")
    sentences = tuple(dict.fromkeys(filter(None, missing)))
    dataset = next(iter(opened.values()))
    return SweepPlan(folder, dataset, tuple(cells), tuple(members), sentences, tuple(dict.fromkeys(notes)))


@dataclass(frozen=True)
class Share:
    """What each run of a sweep has of a machine.

    Attributes:
        jobs: runs at a time on this machine; 0 where Ray decides it.
        threads: of each run.
    """

    jobs: int
    threads: int

    @property
    def words(self) -> str:
        """What is printed of it."""
        if self.jobs:
            return f"{self.jobs} at a time"
        return f"tasks of Ray with {counted(self.threads, 'processor')} each"

    def difference(self, before: Share | None) -> str:
        """Return a sentence where runs compute otherwise than those before, so that their last bits differ, else ""."""
        if before is None or self == before:
            return ""
        if self.jobs and before.jobs and self.jobs != before.jobs:
            return f"{self.jobs} runs at a time, and {before.jobs} before: their last bits differ"
        if self.threads != before.threads:
            return f"{counted(self.threads, 'thread')} per run, and {before.threads} before: their last bits differ"
        return ""


def share_of(folder: Path) -> Share | None:
    """Return the share that the sweep of a folder was begun with; None where it is new.

    Raises:
        Damaged: its record cannot be read.
    """
    path = folder / SWEEP_FILE
    if not path.exists():
        return None
    record = read_json(path, _Record)
    jobs = record.get("jobs", 0)
    return Share(jobs, record.get("threads") or max(1, processors() // (jobs or processors())))


@contextmanager
def beginning(folder: Path, *, made: bool) -> Iterator[None]:
    """Remove what this call has written where its input is refused before a run begins; the caller holds the lock.

    Args:
        folder: of the sweep.
        made: whether this call has made it; then it goes too.
    """
    before = set(folder.iterdir())
    try:
        yield
    except InputError:
        added = set(folder.iterdir()) - before
        if not any(entry.is_dir() and entry.name != _LOGS for entry in added):
            for entry in added:
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            if made:
                with suppress(OSError):
                    (folder / LOCK_FILE).unlink(missing_ok=True)
                    folder.rmdir()
        raise


def claim_sweep(folder: Path, dataset: Dataset, share: Share) -> None:
    """Make the folder this sweep's, or check that it holds runs of the same data; the caller holds its lock.

    Cells and seeds may join later: a run's id is decided by all that decides its weights.

    Args:
        folder: of the sweep.
        dataset: of its runs.
        share: of each run, which a new sweep records: threads decide the last bits of each.

    Raises:
        InputError: the folder holds something else, or a sweep of other data.
    """
    path = folder / SWEEP_FILE
    if not path.exists():
        others = sorted(entry.name for entry in folder.iterdir() if entry.name != LOCK_FILE)
        if others := [name for name in others if not name.endswith(".part")]:
            raise InputError(
                f"{folder} already holds {some(others)}", "a folder of its own", "Give a different out=FOLDER"
            )
        record: _Record = {"data_hash": dataset.hash, "threads": share.threads}
        if share.jobs:
            record["jobs"] = share.jobs
        write_text(path, json.dumps(record) + "\n")
    elif read_json(path, _Record)["data_hash"] != dataset.hash:
        raise InputError(f"{folder} holds a sweep of other data", "the same images", "Give a different out=FOLDER")


def _job(request: Request, recipe: Recipe, seed: int, dataset: Dataset, folder: Path) -> Job:
    own = dataclasses.replace(recipe, seed=seed)
    decides = {key: value for key, value in to_dict(own).items() if key not in FREE_FIELDS and key != "seed"}
    begun = request.initial_weights
    document: list[Mapping[str, Any] | str] = [
        dataset.hash,
        request.spec.to_json(),
        decides,
        begun.sha256 if begun else "",
    ]
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    name = f"{request.spec.name}-{digest[:8]}-seed{seed}"
    table = request.table
    return Job(
        name=name,
        spec=request.spec,
        recipe=own,
        data=absolute(request.data),
        data_dir=Path(os.path.abspath(request.data_dir)) if request.data_dir else None,
        folder=folder / name,
        record=folder / "measured" / f"{name}.json",
        key=hashlib.sha256(f"{digest} {seed}".encode()).hexdigest(),
        weights=absolute(begun.given) if begun else None,
        table=None if table is None else dataclasses.replace(table, file=str(Path(table.file).absolute())),
    )
