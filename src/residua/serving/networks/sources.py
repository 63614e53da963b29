"""Where the models of a server lie: runs named on the command line, and those of a repository."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from residua._base.errors import InputError
from residua.serving.networks.open import can_be_served

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
VERSION = re.compile(r"[1-9][0-9]{0,8}")
Sources = Mapping[str, Mapping[str, Path | str]]
"""Where runs lie, by name and version."""


def named_sources(runs: Iterable[str]) -> dict[str, dict[str, Path | str]]:
    """Return the runs of a command by name and version.

    Args:
        runs: folders, NAME=FOLDER, or NAME:VERSION=FOLDER. A folder's own name is the name; 1 is the version. A folder
            whose sub-folders are numbers holds versions.

    Raises:
        InputError: a name that cannot stand in an address, or one version twice.
    """
    sources: dict[str, dict[str, Path | str]] = {}
    for text in runs:
        name, version, source = _parsed(text)
        if not NAME.fullmatch(name):
            raise InputError(
                f"run {text!r}, whose name {name!r} cannot stand in an address",
                "letters, digits, '_', '-' and '.'",
                "Give it a name: NAME=FOLDER",
            )
        versions = {version: source} if version else versions_in(Path(source)) or {"1": source}
        known = sources.setdefault(name, {})
        if twice := known.keys() & versions.keys():
            raise InputError(
                f"model {name!r} twice as version {min(twice)}",
                "each name and version once",
                f"Name one of them: NAME={text} or {name}:2={text}",
            )
        known |= versions
    return sources


def _parsed(text: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"([^/\\:=]+)(?::([1-9][0-9]{0,8}))?=(.+)", text, re.DOTALL)
    if match and not Path(text).exists():
        return match[1], match[2] or "", match[3]
    return (Path(text).name or Path(text).resolve().name), "", text


def versions_in(folder: Path) -> dict[str, Path | str]:
    """Return the runs in numbered sub-folders, by version."""
    try:
        return {
            each.name: each for each in sorted(folder.iterdir()) if VERSION.fullmatch(each.name) and can_be_served(each)
        }
    except OSError:
        return {}


def in_repository(root: Path) -> dict[str, Mapping[str, Path | str]]:
    """Return the runs and exports of a folder by name and version; links that lead out of it are left out."""
    runs: dict[str, Mapping[str, Path | str]] = {}
    try:
        names = sorted(each.name for each in root.iterdir())
        inside = root.resolve()
    except OSError:
        return {}
    for name in filter(NAME.fullmatch, names):
        if not (root / name).resolve().is_relative_to(inside):
            continue
        versions = {"1": root / name} if can_be_served(root / name) else versions_in(root / name)
        if versions:
            runs[name] = versions
    return runs
