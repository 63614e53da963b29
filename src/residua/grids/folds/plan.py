"""A cross-validation, settled before it starts, and kept in its folder so that no other one goes on there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from residua._base.errors import InputError
from residua._base.files import check_local, write_text
from residua._base.json_file import read_json
from residua._base.run_files import FOLDS_FILE, LOCK_FILE
from residua._base.words import some
from residua.data.dataset import Dataset
from residua.data.splitting import check_folds
from residua.data.tables.label_table import LabelTable, table_of
from residua.grids.jobs import Job, absolute
from residua.specs.schema import Spec
from residua.training.recipe import FREE_FIELDS, Recipe
from residua.training.recipe_file import differences, from_dict, to_dict
from residua.training.request import Request, ask
from residua.training.start import PUBLISHED


class FoldsRecord(TypedDict):
    """What the folder of a cross-validation records of how it was begun."""

    folds: int
    data_hash: str
    spec: dict[str, Any]
    recipe: dict[str, Any]
    weights: str | None
    labels: dict[str, str] | None
    corrections: str | None
    missing_weights: NotRequired[str]


@dataclass(frozen=True)
class FoldPlan:
    """A cross-validation, before it starts.

    Attributes:
        request: of the first fold, as it was asked for.
        dataset: with all training images in one part.
        recipe: that of every fold, but for its number.
        notes: what network and data change in the recipe that was asked for, sentences.
        folder: of the cross-validation.
        jobs: one per fold, in order.
        record: what is kept in the folder.
    """

    request: Request
    dataset: Dataset
    recipe: Recipe
    notes: tuple[str, ...]
    folder: Path
    jobs: tuple[Job, ...]
    record: FoldsRecord

    @property
    def command(self) -> str:
        """The command that goes on with it; the rest is in its folder."""
        return dataclasses.replace(self.request, folder=self.folder).command


def read_folds(folder: Path) -> FoldsRecord:
    """Return what the folder of a cross-validation records.

    Raises:
        Damaged: there is no such record, or it cannot be read.
    """
    return read_json(folder / FOLDS_FILE, FoldsRecord)


def plan_folds(
    data: str | Path,
    model: str | Spec | None,
    recipe: str | Path | Recipe | None,
    out: str | Path,
    *,
    resume: bool,
    data_dir: Path | None,
    table: LabelTable | None,
    model_edits: dict[str, Any] | None,
    weights: str | Path | None,
    corrections: str | Path | None,
    full_provenance: bool,
    overrides: Mapping[str, Any],
) -> FoldPlan:
    """Settle everything and open the data; nothing is written. What is not given is that of the folder, if it resumes.

    Raises:
        InputError: nothing to resume; unusable input, as `train` refuses it; folds that the data does not allow.
    """
    check_local("out", out)
    folder = Path(out)
    fields, missing = dict(overrides), ""
    if resume:
        if not (folder / FOLDS_FILE).exists():
            raise InputError(
                f"{folder} holds no folds to resume", "the folder of folds that were begun", "Leave resume=True out"
            )
        was = read_folds(folder)
        model = Spec.from_json(was["spec"]) if model is None else model
        recipe = from_dict(was["recipe"]) if recipe is None else recipe
        weights = was["weights"] if weights is None else weights
        table = table_of(was["labels"]) if table is None else table
        corrections = was["corrections"] if corrections is None else corrections
        fields.setdefault("folds", was["folds"])
        missing = was.get("missing_weights", "")
    if fields.get("fold"):
        raise InputError(
            f"fold={fields['fold']} of a folder for all folds", "all folds", "Leave it out, or train this fold alone"
        )
    request = ask(
        data,
        model,
        recipe,
        folder / "fold-1",
        resume=False,
        data_dir=data_dir,
        table=table,
        model_edits=model_edits,
        weights=weights,
        full_provenance=full_provenance,
        corrections=corrections,
        **fields | {"fold": 1},
    )
    if request.trials:
        raise InputError("batch_size='auto' for folds", "folds that share one recipe", "Name the batch size that fits")
    whole = dataclasses.replace(request.recipes.large, folds=0, fold=0, val_fraction=0.0, train_images=0, keep="last")
    dataset = whole.open_data(data, data_dir, table, request.corrections)
    train, count = dataset.splits["train"], request.recipes.large.folds
    if "val" in dataset.splits:
        # The same refusal that the first fold would meet.
        request.recipes.large.open_data(data, data_dir, table, request.corrections)
    check_folds(train.labels, train.groups, count, dataset.classes)
    images = len(train) * (count - 1) // count
    settled = dataclasses.replace(request.recipes.of(images), fold=0)
    kept = None if corrections is None else absolute(corrections)
    # All folds begin with what the first one begins with, whether or not the network fails meanwhile.
    begun = request.initial_weights
    chosen = None if begun is None else begun.given if weights is None or weights == PUBLISHED else absolute(weights)
    record: FoldsRecord = {
        "folds": count,
        "data_hash": dataset.hash,
        "spec": request.spec.to_json(),
        "recipe": to_dict(settled),
        "weights": chosen,
        "labels": None if table is None else table.to_dict() | {"file": str(Path(table.file).absolute())},
        "corrections": kept,
        "missing_weights": request.missing_weights or missing,
    }
    jobs = tuple(_job(request, settled, number, folder, record, data_dir) for number in range(1, count + 1))
    return FoldPlan(request, dataset, settled, request.notes_for(images), folder, jobs, record)


def claim_folds(plan: FoldPlan, *, resume: bool) -> None:
    """Make the folder this cross-validation's, or check that it is; the caller holds its lock.

    Raises:
        InputError: the folder holds something else, or folds that were started differently: what differs is named.
    """
    path = plan.folder / FOLDS_FILE
    if not path.exists():
        others = sorted(entry.name for entry in plan.folder.iterdir() if entry.name != LOCK_FILE)
        if others := [name for name in others if not name.endswith(".part")]:
            raise InputError(
                f"{plan.folder} already holds {some(others)}", "a folder of its own", "Give a different out=FOLDER"
            )
        write_text(path, json.dumps(plan.record, indent=1) + "\n")
        return
    if not resume:
        raise InputError(
            f"{plan.folder} already holds folds",
            "a folder of its own for each cross-validation",
            "Go on with them by resume=True, or give a different folder: out=FOLDER",
        )
    was, now = read_folds(plan.folder), plan.record
    names = {"folds": "the number of folds", "data_hash": "the data", "spec": "the network", "weights": "the weights"}
    changes = [f"{names[key]} differs" for key in names if was[key] != now[key]]  # type: ignore[literal-required]
    ours, theirs = from_dict(now["recipe"]), from_dict(was["recipe"])
    free = {key: getattr(ours, key) for key in FREE_FIELDS}
    changes += differences(ours, dataclasses.replace(theirs, **free))
    if changes:
        raise InputError(
            f"{plan.folder} was started differently: {some(changes, 6, '; ')}",
            "the same data, network and recipe",
            f"Go on as it was started: {plan.command}; or give a different folder: out=FOLDER",
        )


def _job(
    request: Request, recipe: Recipe, number: int, folder: Path, record: FoldsRecord, data_dir: Path | None
) -> Job:
    own = dataclasses.replace(recipe, fold=number)
    decides = {key: value for key, value in to_dict(own).items() if key not in FREE_FIELDS}
    document = [record["data_hash"], record["spec"], decides, record["weights"]]
    name = f"fold-{number}"
    return Job(
        name=name,
        spec=request.spec,
        recipe=own,
        data=absolute(request.data),
        data_dir=Path(os.path.abspath(data_dir)) if data_dir else None,
        folder=folder / name,
        record=folder / "measured" / f"{name}.json",
        key=hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest(),
        measure="residua.grids.folds.measuring:measure_fold",
        table=table_of(record["labels"]),
        weights=record["weights"],
        corrections=record["corrections"],
        full_provenance=request.full_provenance,
    )
