"""What a run records of its trackers: the id under which they know it, their names, and what they have taken."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypedDict

from residua._base.errors import Damaged
from residua._base.files import write_text
from residua._base.json_file import read_json
from residua._base.run_files import CHECKPOINTS
from residua.training.tracking.choose import NAMES

_FILE = Path(CHECKPOINTS) / "tracking.json"


class _Document(TypedDict):
    id: str
    taken: dict[str, int]


class TrackRecord:
    """The record, in the run's folder.

    Attributes:
        id: under which the trackers know the run.
        taken: by tracker, the step up to which it has the history; −1 for nothing.
        resumed: whether the file was there already.
    """

    def __init__(self, folder: Path, document: _Document | None) -> None:
        self._path, self._lock = folder / _FILE, threading.Lock()
        self.id = document["id"] if document else new_id()
        self.taken: dict[str, int] = dict(document["taken"]) if document else {}
        self.resumed = document is not None

    @classmethod
    def read(cls, folder: Path) -> TrackRecord:
        """Return the record of a folder; a fresh one where it has none that can be read."""
        try:
            return cls(folder, read_json(folder / _FILE, _Document))
        except Damaged:
            # It decides no weights: a run without it is tracked under a fresh id.
            return cls(folder, None)

    @property
    def names(self) -> list[str]:
        """The trackers that were named when the run was last trained."""
        return [name for name in self.taken if name in NAMES]

    def begin(self, names: Collection[str]) -> None:
        """Record which trackers follow the run now."""
        with self._lock:
            self.taken = {name: self.taken.get(name, -1) for name in names}
            self._write()

    def advance(self, name: str, step: int) -> None:
        """Record that a tracker has the history up to a step; a disk that refuses is left to the run's own files."""
        with self._lock:
            self.taken[name] = step
            try:
                self._write()
            except OSError:
                return

    def _write(self) -> None:
        document: Mapping[str, object] = {"id": self.id, "taken": self.taken}
        write_text(self._path, json.dumps(document))


def new_id() -> str:
    """Return an id that no other run has: eight hexadecimal digits, which all trackers allow."""
    return secrets.token_hex(4)
