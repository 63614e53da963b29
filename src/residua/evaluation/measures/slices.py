"""Results by metadata: every value of every column of a table beside the data is a slice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from residua._base.errors import InputError
from residua._base.files import check_local
from residua._base.words import agree, counted, some
from residua.data.dataset import Dataset, Split
from residua.data.tables.cells import read_csv
from residua.evaluation.measures.metrics import Outcome, wilson

PATH = "path"
MOST = 1000
"""A column with more values than this identifies images, as a time stamp does, rather than kinds of images."""

LONGEST = 200
"""The most characters of a value or of a column's name."""


@dataclass(frozen=True)
class Slice:
    """The images that share a value; rates are fractions of 1.

    Attributes:
        column: a column of the table.
        value: a value in it.
        count: evaluated images with this value.
        top1: accuracy on them.
        top1_interval: Wilson's 95% interval of it.
        loss: mean cross-entropy, nats.
    """

    column: str
    value: str
    count: int
    top1: float
    top1_interval: tuple[float, float]
    loss: float


@dataclass(frozen=True)
class Table:
    """Metadata of images.

    Attributes:
        path: the file it was read from.
        columns: names, without "path".
        rows: image -> its values, in the order of `columns`; an empty string is no value.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]


def read_table(path: Path | str) -> Table:
    """Read a CSV file with a column `path` and others.

    Raises:
        InputError: it cannot be read; no such column, no others, a name twice; a row of a different length, an image
            twice.
    """
    check_local("slices", path)
    path = Path(path)
    header, lines = read_csv(path)
    wanted = f"a CSV file with a column {PATH!r} (relative to the data) and one or more others"
    held = f"{path} with {f'columns {some(header)}' if header else 'nothing'}"
    if PATH not in header:
        raise InputError(held, wanted, f"Call the column of the images' paths {PATH!r} in the first line")
    if len(header) < 2:
        raise InputError(held, wanted, "Add a column with a property of the images")
    if len(set(header)) < len(header) or not all(header):
        raise InputError(held, wanted, "Give each column its own name in the first line")
    at = header.index(PATH)
    rows: dict[str, tuple[str, ...]] = {}
    problems = [f"a column's name has more than {LONGEST} characters"] if max(map(len, header)) > LONGEST else []
    for number, row in lines:
        if len(row) != len(header):
            problems.append(f"line {number} has {counted(len(row), 'value')} for {counted(len(header), 'column')}")
            continue
        key = row[at].strip().replace("\\", "/").removeprefix("./")
        values = tuple(value.strip() for index, value in enumerate(row) if index != at)
        if key in rows:
            problems.append(f"line {number} names {key} again")
        if max(map(len, values)) > LONGEST:
            problems.append(f"line {number} has a value of more than {LONGEST} characters")
        if any("\0" in value for value in row):
            problems.append(f"line {number} holds a null character")
        rows[key] = values
    if problems or not rows:
        raise InputError(
            f"{path}: {some(problems, 5, '; ') if problems else 'no row'}",
            f"one row per image, with a value of at most {LONGEST} characters per column",
            "Correct these lines" if problems else "Add a row for each image",
        )
    return Table(path, tuple(name for name in header if name != PATH), rows)


def match(table: Table, dataset: Dataset, split: Split) -> list[str | None]:
    """Return the key in `table` of each image of `split`, None where it has none.

    Raises:
        InputError: the table names images that are in no part of the data, or none of this part.
    """
    root = Path(dataset.given) if dataset.location else None
    known = {key_of(part, index, root) for part in dataset.splits.values() for index in range(len(part))}
    unknown = [key for key in table.rows if key not in known]
    keys = [key_of(split, index, root) for index in range(len(split))]
    row_keys = [key if key in table.rows else None for key in keys]
    if unknown or not any(row_keys):
        missing = sum(key is None for key in row_keys)
        what = (
            f"{counted(len(unknown), 'path that is', 'paths that are')} not in the data: {some(unknown, 5)}"
            if unknown
            else ""
        )
        if missing:
            images = f"{counted(len(split), 'image')} of the {split.name} part"
            what += f"{'; ' * bool(what)}{missing} of the {images} {agree(missing, 'has', 'have')} no row"
        raise InputError(
            f"{table.path}: {what}",
            f"paths relative to {dataset.location or dataset.given}, such as {keys[0]}",
            "Correct the column path, or leave these rows out",
        )
    return row_keys


def slices(table: Table, keys: Sequence[str | None], outcome: Outcome) -> tuple[tuple[Slice, ...], tuple[str, ...]]:
    """Return the results of every value of every column, by column and value, and notes of columns left out.

    Args:
        table: the metadata.
        keys: the row of each image of `outcome`.
        outcome: the outcome of each image.
    """
    results, notes = [], []
    rowless = sum(key is None for key in keys)
    for column_index, column in enumerate(table.columns):
        entries = np.array(["" if key is None else table.rows[key][column_index] for key in keys], object)
        values, which, counts = np.unique(entries, return_inverse=True, return_counts=True)
        if len(values) > MOST:
            notes.append(
                f"column {column!r} of {table.path.name} has {len(values):,} values, more than {MOST:,}: no slices"
            )
            continue
        if blank := int(counts[values == ""].sum()) - rowless:
            notes.append(
                f"{blank} of these images {agree(blank, 'has', 'have')} no value in column "
                f"{column!r} of {table.path.name}"
            )
        hits = np.bincount(which, outcome.correct).astype(int).tolist()
        losses = (np.bincount(which, outcome.loss) / counts).tolist()
        rows = [row for row in zip(values.tolist(), counts.tolist(), hits, losses, strict=True) if row[0]]
        for value, count, right, loss in sorted(rows, key=lambda row: _natural(row[0])):
            results.append(Slice(column, value, count, right / count, wilson(right, count), loss))
    return tuple(results), tuple(notes)


def key_of(split: Split, index: int, root: Path | None) -> str:
    """Return the name of an image in a table: its path relative to the data, or its position, such as "test[17]"."""
    path = Path(split.where(index))
    return (path.relative_to(root) if root is not None and path.is_relative_to(root) else path).as_posix()


def _natural(value: str) -> tuple[bool, float, str]:
    """Return the sort key of a value: numbers first, by size, then words."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    return (False, number, value) if math.isfinite(number) else (True, 0.0, value)
