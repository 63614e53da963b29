"""A job of a grid: one training and its measurements, and the record that it leaves."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict

from residua._base.errors import Damaged, InputError
from residua._base.files import write_text
from residua._base.json_file import parse_json, read_json
from residua.data.dataset import EMBEDDED
from residua.data.tables.label_table import LabelTable, table_of
from residua.specs.schema import Spec
from residua.training.folder.run_folder import is_finished
from residua.training.recipe import Recipe
from residua.training.recipe_file import from_dict, to_dict
from residua.weights.bundle.read import load_bundle


class _Line(TypedDict):
    name: str
    spec: dict[str, Any]
    recipe: dict[str, Any]
    data: str
    folder: str
    record: str
    key: str
    data_dir: str | None
    measure: str | None
    arguments: dict[str, Any]
    work: float
    table: dict[str, str] | None
    weights: str | None
    corrections: str | None
    full_provenance: bool


@dataclass(frozen=True)
class Job:
    """A training in a process of its own.

    Attributes:
        name: unique in the grid; names its log.
        spec: the network.
        recipe: complete, with the seed.
        data: a data set's name, or an absolute path.
        data_dir: where downloaded archives lie, absolute.
        folder: of the run.
        record: the file that the job's record is written to.
        key: hash of everything that decides the record.
        measure: "module:function", called with the finished run, this job and `arguments`; it returns JSON values.
        arguments: JSON values.
        work: what it costs, in any unit that the jobs of a grid share.
        table: what states the labels, named by an absolute path; None for the names of folders.
        weights: to begin with; None for those drawn from the seed.
        corrections: of labels, an absolute path; None for none.
        full_provenance: whether bundle and report state places on this machine.
    """

    name: str
    spec: Spec
    recipe: Recipe
    data: str
    folder: Path
    record: Path
    key: str
    data_dir: Path | None = None
    measure: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    work: float = 1.0
    table: LabelTable | None = None
    weights: str | None = None
    corrections: str | None = None
    full_provenance: bool = False

    def to_json(self) -> str:
        """Return the job as one line."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        paths = {name: str(own[name].absolute()) for name in ("folder", "record", "data_dir") if own[name] is not None}
        built: dict[str, Any] = {"spec": self.spec.to_json(), "recipe": to_dict(self.recipe)}
        built["table"] = None if self.table is None else self.table.to_dict()
        return json.dumps(own | paths | built, default=dict)

    @classmethod
    def from_json(cls, line: str) -> Job:
        """Return the job that `to_json` wrote.

        Raises:
            Damaged: it is no such line.
        """
        stated: dict[str, Any] = dict(parse_json(line, _Line, Path("the line of a job")))
        paths = {name: Path(stated[name]) for name in ("folder", "record", "data_dir") if stated[name] is not None}
        built = {"spec": Spec.from_json(stated["spec"]), "recipe": from_dict(stated["recipe"])}
        built["table"] = table_of(stated["table"])
        return cls(**{**stated, **paths, **built})


@dataclass(frozen=True)
class Record:
    """What a finished job leaves beside its run.

    Attributes:
        key: the job's.
        weights_sha256: of the trained network.
        minutes: of measuring; training stands in the run's history.
        measured: what `Job.measure` returned.
        environment: versions, processor, device and date of the measuring.
    """

    key: str
    weights_sha256: str
    minutes: float
    measured: Mapping[str, Any]
    environment: Mapping[str, str]

    def write(self, path: Path) -> None:
        """Write the record with a hash of its own, whole or not at all."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        write_text(path, json.dumps(content | {"sha256": _hash(content)}))


class _Document(TypedDict):
    key: str
    weights_sha256: str
    minutes: float
    measured: dict[str, Any]
    environment: dict[str, str]
    sha256: str


def read_record(job: Job, say: Callable[[str], None] = lambda line: None) -> Record | None:
    """Return the record of a job that is done; None where the job is to be done, again or for the first time.

    It is done when the record belongs to this job and to the run's weights. A damaged record counts as none, and `say`
    gets the reason: training ends at once where the run is finished, and the measurements are repeated.
    """
    try:
        content: dict[str, Any] = {**read_json(job.record, _Document)}
        if content.pop("sha256") != _hash(content):
            raise Damaged(job.record, "its content is not what its hash is of")
        record = Record(**{each.name: content[each.name] for each in fields(Record)})
    except Damaged as error:
        if not error.absent:
            say(f"{job.name} is measured again: {job.record.name} is damaged, {error.reason}")
        return None
    try:
        same = record.key == job.key and is_finished(job.folder)
        return record if same and load_bundle(job.folder).weights_sha256 == record.weights_sha256 else None
    except InputError:
        return None


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def absolute(source: str | Path) -> str:
    """Make the path of something that exists absolute, since workers run in another folder; names stay as they are."""
    return str(source) if str(source) in EMBEDDED or not os.path.exists(source) else os.path.abspath(source)
