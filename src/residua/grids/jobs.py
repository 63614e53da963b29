"""A job of a grid: one training, with what is measured afterwards; and the record that it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import write_text
from residua.specs.schema import Spec
from residua.training.recipe import Recipe
from residua.training.recipe_file import from_dict, to_dict
from residua.training.request import is_finished
from residua.weights.bundle.read import load_bundle


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

    def to_json(self) -> str:
        """Return the job as one line."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        paths = {name: str(own[name].absolute()) for name in ("folder", "record", "data_dir") if own[name] is not None}
        return json.dumps(own | paths | {"spec": self.spec.to_json(), "recipe": to_dict(self.recipe)}, default=dict)

    @classmethod
    def from_json(cls, line: str) -> Job:
        """Return the job that `to_json` wrote."""
        given: dict[str, Any] = json.loads(line)
        paths = {name: Path(given[name]) for name in ("folder", "record", "data_dir") if given[name] is not None}
        built = {"spec": Spec.from_json(given["spec"]), "recipe": from_dict(given["recipe"])}
        return cls(**{**given, **paths, **built})


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
        """Write the record, whole or not at all."""
        write_text(path, json.dumps({each.name: getattr(self, each.name) for each in fields(self)}))


def read_record(job: Job) -> Record | None:
    """Return the record of a job that is done; None where it is to be done (again).

    It is done when the record belongs to this job and to the run's weights. A damaged record counts as none: training
    ends at once where the run is finished, and what was measured is measured again.
    """
    try:
        record = _checked(json.loads(job.record.read_text(encoding="utf-8")))
        same = record.key == job.key and is_finished(job.folder)
        return record if same and load_bundle(job.folder).weights_sha256 == record.weights_sha256 else None
    except (OSError, ValueError, RecursionError, InputError):
        return None


def _checked(document: Any) -> Record:
    """Return the document as a record.

    Raises:
        ValueError: it is none.
    """
    kinds = {"key": str, "weights_sha256": str, "minutes": (int, float), "measured": dict, "environment": dict}
    if not isinstance(document, dict) or document.keys() != kinds.keys():
        raise ValueError("not a record")
    for name, kind in kinds.items():
        if not isinstance(document[name], kind) or isinstance(document[name], bool):  # type: ignore[arg-type]
            raise ValueError(f"{name}={document[name]!r}")
    if not all(isinstance(value, str) for value in document["environment"].values()):
        raise ValueError(f"environment={document['environment']!r}")
    return Record(**document)
