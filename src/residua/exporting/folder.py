"""The folder of an export: whole or absent."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from residua._base.errors import InputError
from residua._base.files import check_local, sync, writing
from residua._base.words import some


def check_empty(path: Path | str, what: str = "out") -> Path:
    """Return the path of a folder to write, before the work that it is to hold.

    Args:
        path: the folder.
        what: the name of the argument.

    Raises:
        InputError: it is no path, it is a file, or it holds something.
    """
    check_local(what, path)
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{what}={path}, which is a file", "a folder that is new or empty", "Give another folder")
    if path.is_dir() and (names := sorted(entry.name for entry in path.iterdir())):
        raise InputError(
            f"{what}={path}, which holds {some(names, 3)}", "a folder that is new or empty", "Give another folder"
        )
    return path


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path` to fill; on success sync its files and rename it to `path`.

    On any error the half-filled folder is removed. `path` may be an empty folder.

    Raises:
        InputError: a write was refused; states why.
    """
    path = path.absolute()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.parent / f".{path.name[:60]}.{secrets.token_hex(6)}.part"
        beside.mkdir()
    try:
        yield beside
        with writing(path):
            for entry in sorted(beside.rglob("*"), reverse=True):
                sync(entry)
            sync(beside)
            os.replace(beside, path)
            sync(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
