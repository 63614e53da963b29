"""What a run folder keeps for this machine alone: it stands in checkpoints/, the part of a run that does not travel."""

from __future__ import annotations

from pathlib import Path
from typing import NotRequired, TypedDict

from residua._base.errors import Damaged
from residua._base.json_file import read_json
from residua._base.run_files import ORIGIN


class _Table(TypedDict):
    file: str


class _Data(TypedDict):
    location: NotRequired[str]
    table: NotRequired[_Table]


class _Origin(TypedDict):
    data: _Data | None


def location_of_data(folder: Path) -> str:
    """Return where the training data of a run lies on this machine, "" where the run folder does not record it."""
    return _data(folder).get("location", "")


def table_of_data(folder: Path) -> str:
    """Return where the table of its labels lies on this machine, "" where the run folder does not record one."""
    table = _data(folder).get("table")
    return table["file"] if table else ""


def _data(folder: Path) -> _Data:
    try:
        return read_json(folder / ORIGIN, _Origin)["data"] or {}
    except Damaged:
        return {}
