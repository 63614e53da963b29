"""What a run folder keeps for this machine alone: it stands in checkpoints/, the part of a run that does not travel."""

from __future__ import annotations

from pathlib import Path
from typing import NotRequired, TypedDict

from residua._base.errors import Damaged
from residua._base.json_file import read_json
from residua._base.run_files import ORIGIN


class _Data(TypedDict):
    location: NotRequired[str]


class _Origin(TypedDict):
    data: _Data | None


def location_of_data(folder: Path) -> str:
    """Return where the training data of a run lies on this machine, "" where the run folder does not record it."""
    try:
        data = read_json(folder / ORIGIN, _Origin)["data"]
    except Damaged:
        return ""
    return (data or {}).get("location", "")
