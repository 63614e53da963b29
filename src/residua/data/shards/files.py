"""Which tar files are the shards of a data set, and of which part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from residua._base.errors import InputError
from residua._base.words import some
from residua.data.shards.index import INDEX_FILE
from residua.data.sources.parts import part_named
from residua.data.sources.table import PARTS

SUFFIX = ".tar"
PARQUET = ".parquet"
NAMES_FILE = "classes.txt"
"""A name of a class per line, in the order of the labels; WebDataset's users write it beside their shards."""


def are_shards(path: Path) -> bool:
    """Return whether a path is a tar file or a folder of shards.

    Beside folders, which may be classes with a tar file left over, it takes a file that states the names of the
    classes.
    """
    if not path.is_dir():
        return path.suffix == SUFFIX and path.is_file()
    if not _tars(path):
        return False
    folders = any(each.is_dir() and not each.name.startswith(".") for each in path.iterdir())
    return not folders or any((path / name).is_file() for name in (INDEX_FILE, NAMES_FILE))


def shard_files(path: Path) -> dict[str, list[Path]]:
    """Return the tar files of each part, sorted by name; see `parts_by_name`."""
    return parts_by_name(path, _tars(path) if path.is_dir() else [path])


def parts_by_name(path: Path, files: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the files of each part; the words that the names begin with state the parts.

    Files of one part alone are "train", whatever their names.

    Raises:
        InputError: some names are those of parts and others are not; validation and test shards without training ones.
    """
    parts: dict[str, list[Path]] = {}
    for file in files:
        parts.setdefault(part_of(file.name), []).append(file)
    if len(parts) == 1:
        return {"train": next(iter(parts.values()))}
    if "" in parts:
        raise InputError(
            f"{path}: {some(file.name for file in parts[''])} beside shards whose names begin with a part",
            "names that begin with train, val or test, or none that do",
            "Rename these files, or move them away",
        )
    if "train" not in parts:
        names = some(file.name for files in parts.values() for file in files)
        raise InputError(f"{path} holds {names}", "shards of train beside them", "Add them, or name one file")
    return {name: parts[name] for name in PARTS if name in parts}


def part_of(name: str) -> str:
    """Return the part that the name of a shard begins with, "" for none: imagenet-train-000001.tar is of train."""
    words = re.split(r"[\W_]+", re.split(r"\d", name.removesuffix(SUFFIX))[0])
    return next((part for word in words if word and (part := part_named(word))), "")


def _tars(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix == SUFFIX and each.is_file())
