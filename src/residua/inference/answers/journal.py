"""The journal beside a file of answers that is being written: what it was begun with, and how far it is on the disk.

The first line states what decides the answers. Each further line is a state that the disk holds for certain: rows are
synced before the line that counts them is written. After a kill the file is cut to the last such state.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from residua._base.errors import Damaged, InputError
from residua._base.files import read_regular
from residua._base.json_file import parse_json

_MOST_BYTES = 1 << 30


class State(TypedDict):
    """How far a job is.

    Attributes:
        files: paths answered, with and without an error.
        bad: those without an answer.
        size: of the partial file, bytes.
        paths: SHA-256 of the paths so far, each followed by a null byte, as hexadecimal digits.
        seconds: of work so far.
        done: whether no path is left.
    """

    files: int
    bad: int
    size: int
    paths: str
    seconds: float
    done: bool


START = State(files=0, bad=0, size=0, paths=hashlib.sha256().hexdigest(), seconds=0.0, done=False)


@dataclass(frozen=True)
class Journal:
    """What a journal holds.

    Attributes:
        job: what decides the answers, by name.
        state: the last one.
        size: bytes of the journal up to the end of that state's line; what follows was torn by a kill.
    """

    job: dict[str, Any]
    state: State
    size: int


def read_journal(path: Path, most: int) -> Journal | None:
    """Return the journal's job and its last state whose rows fit into `most` bytes; None where it holds no job.

    Raises:
        Damaged: it was not written by Residua.
    """
    try:
        content = read_regular(path, _MOST_BYTES)
    except Damaged as error:
        if error.absent:
            return None
        raise
    lines = content.split(b"\n")[:-1]  # Behind the last line's end stands nothing, or what a kill tore.
    if not lines:
        return None
    job = parse_json(lines[0], dict[str, Any], path)
    state = START
    size = end = len(lines[0]) + 1
    for line in lines[1:]:
        end += len(line) + 1
        later = parse_json(line, State, path)
        if later["size"] > most:
            break
        state, size = later, end
    return Journal(job, state, size)


def line_of(value: State | dict[str, Any]) -> bytes:
    """Return a line of the journal."""
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def check_job(journal: Journal, job: dict[str, Any], out: Path) -> None:
    """Refuse to go on with a file that was begun with something else.

    Raises:
        InputError: names every difference, and how to begin again.
    """
    names = sorted(name for name in {*journal.job, *job} if journal.job.get(name) != job.get(name))
    if names:
        before = ", ".join(f"{name}={_shown(journal.job.get(name))}" for name in names)
        now = ", ".join(f"{name}={_shown(job.get(name))}" for name in names)
        raise InputError(
            f"{now}, where {partial_of(out)} was begun with {before}",
            "the run, the engine and the options that it was begun with",
            f"Repeat the first command, or delete {partial_of(out)} and {journal_of(out)} to begin again",
        )


def partial_of(out: Path) -> Path:
    """Return where the answers stand until all are there."""
    return out.with_name(f"{out.name}.partial")


def journal_of(out: Path) -> Path:
    """Return the journal's path."""
    return out.with_name(f"{out.name}.journal")


def _shown(value: object) -> str:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else repr(value)
