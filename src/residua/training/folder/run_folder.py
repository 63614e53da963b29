"""The folder of a run: where its files stand, and what it records of how the run was begun."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from residua._base.errors import Damaged, InputError
from residua._base.files import write_text, writing
from residua._base.json_file import read_json
from residua._base.run_files import CHECKPOINTS, HISTORY_FILE, IMAGE_DIGESTS, LAUNCHERS, ORIGIN, RUN_FILES
from residua.data.tables.label_table import LabelTable, table_of
from residua.specs.schema import Spec
from residua.training.folder.arithmetic import Arithmetic, ArithmeticRecord
from residua.training.folder.checkpoint import list_checkpoints
from residua.training.initial_weights import Initial, InitialRecord
from residua.training.recipe_file import RecipePair, from_dict, to_dict
from residua.training.step.teachers import Teacher, TeacherDocument


class DataRecord(TypedDict):
    """What a run records of its data: its name and place, its hash, the classes, the number of training images."""

    given: str
    location: NotRequired[str]
    hash: str
    classes: list[str]
    images: int
    table: NotRequired[dict[str, Any]]  # `TableRecord.to_dict`


class _Recipes(TypedDict):
    large: NotRequired[dict[str, Any]]
    small: NotRequired[dict[str, Any]]
    many: NotRequired[dict[str, Any]]  # the former names of the two
    few: NotRequired[dict[str, Any]]


class _Document(TypedDict):
    model: dict[str, Any]
    weights: NotRequired[InitialRecord | None]
    recipe: _Recipes
    data: DataRecord | None
    full_provenance: NotRequired[bool]
    corrections: NotRequired[dict[str, str]]
    labels: NotRequired[dict[str, str] | None]
    missing_weights: NotRequired[str]
    trials: NotRequired[list[str]]
    arithmetic: NotRequired[ArithmeticRecord]
    teachers: NotRequired[list[TeacherDocument]]


@dataclass(frozen=True)
class RunRecord:
    """How a run was begun, as its folder records it.

    Attributes:
        spec: the network; its outputs wait for the data's classes.
        initial_weights: that it began with; None for those drawn from the seed.
        recipes: by the number of training images.
        data: None until the data was opened.
        full_provenance: whether its bundle and report state places on this machine.
        corrections: label by name of the images whose labels were corrected.
        table: what states the labels, as it was named; None for the names of folders.
        missing_weights: a sentence where published weights were wanted and could not be had, "" elsewhere.
        trials: fields of the recipe that are still to be found before the first step.
        arithmetic: how its steps are computed on a CPU, where that was measured.
        teachers: whose probabilities the run learns.
    """

    spec: Spec
    initial_weights: Initial | None
    recipes: RecipePair
    data: DataRecord | None
    full_provenance: bool = False
    corrections: Mapping[str, str] = field(default_factory=dict)
    table: LabelTable | None = None
    missing_weights: str = ""
    trials: tuple[str, ...] = ()
    arithmetic: Arithmetic | None = None
    teachers: tuple[Teacher, ...] = ()


def checkpoints_of(folder: Path) -> Path:
    """Return the folder of a run's checkpoints."""
    return folder / CHECKPOINTS


def origin_path(folder: Path) -> Path:
    """Return the file that records how a run was begun."""
    return folder / ORIGIN


def digests_path(folder: Path) -> Path:
    """Return the file with the digest of each image of a run."""
    return folder / IMAGE_DIGESTS


def is_begun(folder: Path, launchers: frozenset[str]) -> bool:
    """Return whether the folder holds a run that one of these torchruns, a `Launch.launcher`, began or resumed last.

    Of several hosts one is enough: another may be lost, or have joined since.
    """
    try:
        before = (folder / LAUNCHERS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return not launchers.isdisjoint(before) and origin_path(folder).exists()


def is_finished(folder: Path) -> bool:
    """Return whether the run has written everything that it had to write."""
    whole = all((folder / name).exists() for name in RUN_FILES)
    return whole and not list_checkpoints(checkpoints_of(folder))


def write_origin(folder: Path, origin: RunRecord) -> None:
    """Record how a run was begun, whole or not at all."""
    initial = origin.initial_weights
    document: dict[str, Any] = {
        "model": origin.spec.to_json(),
        "weights": initial and initial.to_dict(),
        "recipe": {"large": to_dict(origin.recipes.large), "small": to_dict(origin.recipes.small)},
        "data": origin.data,
        "full_provenance": origin.full_provenance,
        **({"corrections": dict(origin.corrections)} if origin.corrections else {}),
        **({"missing_weights": origin.missing_weights} if origin.missing_weights else {}),
        **({"trials": list(origin.trials)} if origin.trials else {}),
        **({"arithmetic": origin.arithmetic.to_dict()} if origin.arithmetic else {}),
        **({"teachers": [each.to_dict() for each in origin.teachers]} if origin.teachers else {}),
    }
    if origin.table is not None:
        # From the root on: the run may be resumed from another working directory.
        document["labels"] = origin.table.to_dict() | {"file": str(Path(origin.table.file).absolute())}
    with writing(origin_path(folder)):
        write_text(origin_path(folder), json.dumps(document, indent=1))


def read_origin(folder: Path) -> RunRecord | None:
    """Return what `write_origin` wrote, now or in an earlier version; None where the folder holds no run.

    Raises:
        Damaged: the file is there and cannot be used.
    """
    path = origin_path(folder)
    try:
        document = read_json(path, _Document)
    except Damaged as error:
        if error.absent:
            return None
        raise
    recipes = document["recipe"]
    weights = document.get("weights")
    try:
        large, small = recipes.get("large") or recipes["many"], recipes.get("small") or recipes["few"]
        return RunRecord(
            Spec.from_json(document["model"]),
            Initial.from_dict(weights) if weights else None,
            RecipePair(from_dict(large), from_dict(small)),
            document["data"],
            document.get("full_provenance", False),
            document.get("corrections", {}),
            table_of(document.get("labels")),
            document.get("missing_weights", ""),
            tuple(document.get("trials", ())),
            Arithmetic.from_dict(document["arithmetic"]) if "arithmetic" in document else None,
            tuple(Teacher(each["given"], each["sha256"]) for each in document.get("teachers", ())),
        )
    except KeyError as error:
        raise Damaged(path, f"it lacks `recipe.{error.args[0]}`") from None
    except InputError as error:
        raise Damaged(path, f"it holds {error.given}") from None


def write_history(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write history.jsonl, a line per epoch.

    Raises:
        InputError: the disk is full or refuses.
    """
    path = folder / HISTORY_FILE
    with writing(path):
        write_text(path, "".join(json.dumps(line) + "\n" for line in history))
