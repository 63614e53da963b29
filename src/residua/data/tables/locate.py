"""The files that the rows of a table name: below one folder for all rows, with or without their endings."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from residua._base.errors import InputError
from residua._base.words import some
from residua.data.listing import EXTENSIONS, Listing
from residua.data.tables.rows import Row

_SAMPLE = 64  # rows that tell which folders below the data are worth trying for all
_DEPTH = 2  # of folders below the data that may be what the paths are relative to: PHOTOS/train, PHOTOS/images/train


@dataclass(frozen=True)
class LocatedRow:
    """A row and its file.

    Attributes:
        row: of the table.
        file: what it names; inside the data as the data's folder is named.
        size: of the file, bytes.
    """

    row: Row
    file: Path
    size: int


@dataclass(frozen=True)
class Location:
    """Where the images of a table lie.

    Attributes:
        base: the folder that the paths are relative to.
        rows: those whose file exists.
        missing: the others, each with the reason.
        outside: of `rows`, those that lie neither below the data nor below the folder of the table.
    """

    base: Path
    rows: tuple[LocatedRow, ...]
    missing: tuple[tuple[Row, str], ...]
    outside: tuple[Row, ...]


def locate(rows: Sequence[Row], data: Path, table: Path, listing: Listing) -> Location:
    """Find the files; paths are relative to the data, else to the folder of the table, else to a folder of the data.

    One folder serves all rows: the first below which every row has its file, else the one with most of them.

    Args:
        rows: of the table.
        data: the folder of the images.
        table: the file of the table.
        listing: what `data` holds.

    Raises:
        InputError: two folders below the data hold the files of all rows.
    """
    index = _Index(data, listing)
    folders = [data, table.parent]
    attempts = [_attempt(rows, folder, index) for folder in folders]
    if all(len(attempt) < len(rows) for attempt in attempts):
        below = {folder: _attempt(rows, folder, index) for folder in _likely(rows[:_SAMPLE], index)}
        complete = [folder for folder, attempt in below.items() if len(attempt) == len(rows)]
        if len(complete) > 1:
            raise InputError(
                f"{table}, whose images are in {some(map(str, complete), 3, ' and in ')} alike",
                "paths that name one file each",
                f"Name the folder of the images: {complete[0]}",
            )
        folders += below
        attempts += below.values()
    best = max(range(len(attempts)), key=lambda index: (len(attempts[index]), -index))
    located, base = attempts[best], folders[best]
    missing = tuple((row, _why_missing(base, row)) for row in rows if row.number not in located)
    inside = [os.path.abspath(data), os.path.abspath(table.parent)]
    outside = tuple(
        each.row for each in located.values() if not any(_is_below(os.path.abspath(each.file), root) for root in inside)
    )
    return Location(base, tuple(located.values()), missing, outside)


def _likely(rows: Sequence[Row], index: _Index) -> list[Path]:
    """Return the folders below the data in which most of these rows have their file; none where no row has one."""
    counts = {folder: len(_attempt(rows, folder, index)) for folder in index.folders()}
    most = max(counts.values(), default=0)
    return [folder for folder, count in counts.items() if count == most > 0]


def _attempt(rows: Sequence[Row], base: Path, index: _Index) -> dict[int, LocatedRow]:
    """Return number -> row and file, of the rows whose file is there where `base` is what paths are relative to."""
    absolute = os.path.abspath(base)
    located = {}
    for row in rows:
        if (entry := index.find(base, absolute, row.name)) is not None:
            located[row.number] = LocatedRow(row, *entry)
    return located


class _Index:
    """The images below a folder, by path with and without ending; other files by looking."""

    def __init__(self, data: Path, listing: Listing) -> None:
        self._data, self._below = data, os.path.abspath(data).rstrip(os.sep) + os.sep
        self._sizes: dict[str, int] = {}
        self._stems: defaultdict[str, list[str]] = defaultdict(list)
        for path, size in listing.images:
            name = os.path.relpath(path, data)
            self._sizes[name] = size
            self._stems[os.path.splitext(name)[0]].append(name)

    def folders(self) -> Iterator[Path]:
        """Yield the folders below the data that hold images, directly or deeper."""
        names = {
            os.sep.join(parts[:depth])
            for parts in (name.split(os.sep)[:-1] for name in self._sizes)
            for depth in range(1, min(len(parts), _DEPTH) + 1)
        }
        yield from (self._data / name for name in sorted(names))

    def find(self, base: Path, absolute: str, name: str) -> tuple[Path, int] | None:
        """Return the file that `name` means below `base`, and its size; None where there is none, or several.

        Args:
            base: the folder as it is named.
            absolute: the same from the root on.
            name: as the table has it.
        """
        for spelling in (name, name.replace("\\", "/")) if "\\" in name and "/" not in name else (name,):
            path = os.path.normpath(os.path.join(absolute, spelling))
            inside = path.removeprefix(self._below)
            if inside in self._sizes:
                return self._data / inside, self._sizes[inside]
            whole = self._stems.get(inside, ())
            if len(whole) == 1:
                return self._data / whole[0], self._sizes[whole[0]]
            if not whole and (entry := _beyond(path, inside != path)) is not None:
                file, size = entry
                # As it is named: a path relative to the working directory stays one.
                return Path(os.path.normpath(base / (spelling + file.removeprefix(path)))), size
        return None


def _beyond(path: str, inside: bool) -> tuple[str, int] | None:
    """Look for a file that the listing of the data does not have: outside of it, or hidden in it."""
    names = [path] if os.path.splitext(path)[1].lower() in EXTENSIONS else []
    if not names and not inside:
        names = [path + ending for ending in sorted(EXTENSIONS)]
    entries = [(name, status.st_size) for name in names if (status := _regular(name)) is not None]
    return entries[0] if len(entries) == 1 else None


def _regular(path: str) -> os.stat_result | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _why_missing(base: Path, row: Row) -> str:
    path = base / row.name
    if _regular(str(path)) is not None:
        return "no image by its ending"
    alike = [each.name for each in path.parent.glob(f"{_escaped(path.name)}.*")] if path.parent.is_dir() else []
    images = sorted(name for name in alike if os.path.splitext(name)[1].lower() in EXTENSIONS)
    return f"stands for {some(images, 2, ' and ')} alike" if len(images) > 1 else f"no file {path}"


def _escaped(name: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
