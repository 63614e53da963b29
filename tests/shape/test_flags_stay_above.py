"""Flags are the command's own: below it, messages and docstrings name fields."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import residua
from residua.cli.flags import COMMAND

SOURCE = Path(residua.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

# Flags of other programs, and of commands that are printed to be run as they are.
ALLOWED = {
    "figures/palette.py": "custom properties of a style sheet",
    "runtime/environment.py": "flags of git",
    "runtime/native/library.py": "a flag of the compiler",
    "sweeps/launch.py": "the words of the command that goes on with a sweep",
    "sweeps/run_sweep.py": "the words of the command that goes on with a sweep",
    "studies/command.py": "the words of the command that repeats a study",
    "training/plan.py": "the words of the command that repeats a run",
    "training/request.py": "the words of the command that resumes a run",
    "training/tracking/follow.py": "the words of the command that sends a run again",
    "training/tracking/tensorboard.py": "a flag of TensorBoard",
    "weights/named/published_file.py": "the words of the command that fetches weights",
}


def _below() -> list[str]:
    places = (path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
    return sorted(place.as_posix() for place in places if place.parts[0] != "cli")


def _flags(place: str) -> list[str]:
    """Return the flags in the strings of a file, but for those of whole commands."""
    found = []
    for node in ast.walk(ast.parse((SOURCE / place).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += FLAG.findall(re.sub(COMMAND, "", node.value))
    return found


@pytest.mark.parametrize("place", _below())
def test_no_flag_stands_below_the_command(place: str) -> None:
    if place not in ALLOWED:
        assert not _flags(place), f"{place}: write batch_size=2, not --batch-size 2; the command renders it"


def test_the_list_is_current() -> None:
    for place in ALLOWED:
        if (SOURCE / place).exists():
            assert _flags(place), f"{place} is clean: take it off the list"
