"""The cells of a table as text: CSV, or parquet with the extra `shards`."""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import Damaged, InputError
from residua._base.files import read_regular

LARGEST_BYTES = 1 << 30
"""The largest table that is read, bytes: rows of millions of images."""

PARQUET = ".parquet"
_WANTED = "a CSV file in UTF-8, or a parquet file"


@dataclass(frozen=True)
class Cells:
    """A table as it stands in its file.

    Attributes:
        path: the file.
        sha256: of its bytes.
        header: the names of the columns.
        rows: number and cells of each row. In CSV the number is the line, of which the header is the first; in parquet
            rows are counted from 1.
    """

    path: Path
    sha256: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_cells(path: Path) -> Cells:
    """Read a table; a file that ends in .parquet is parquet, every other one CSV.

    Raises:
        InputError: it cannot be read, is not UTF-8, or is no table; pyarrow is needed and not installed.
    """
    try:
        content = read_regular(path, LARGEST_BYTES)
    except Damaged as error:
        raise InputError(f"{path}, which cannot be read: {error.reason}", _WANTED, "Check the path") from None
    digest = hashlib.sha256(content).hexdigest()
    header, rows = _parquet(path, content) if path.suffix.lower() == PARQUET else _csv(path, content)
    return Cells(path, digest, tuple(header), tuple((number, tuple(row)) for number, row in rows))


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the first row of a CSV file, and the others with the numbers of their lines.

    Raises:
        InputError: it cannot be read, is not UTF-8, or a line is no CSV.
    """
    try:
        return _csv(path, path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", "a CSV file, in UTF-8", "Check the path"
        ) from error


def _csv(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Split the lines; columns are separated by ",", ";" or a tab, whichever the first line has most of."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, whose byte {error.start + 1} is not UTF-8", "a CSV file, in UTF-8", "Save it as UTF-8"
        ) from error
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.line_num}: {error}",
            "values separated by commas, in quotation marks where they hold a comma or a line break",
            "Correct this line; a quotation mark may lack its partner",
        ) from error
    return ([name.strip() for name in rows[0][1]], rows[1:]) if rows else ([], [])


def _parquet(path: Path, content: bytes) -> tuple[list[str], Iterable[tuple[int, list[str]]]]:
    try:
        pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError(
            f"{path}, and pyarrow, which cannot be imported ({error})",
            "the packages of the extra 'shards'",
            "Install them: pip install 'residua[shards]', or write the table as CSV",
        ) from error
    try:
        table = parquet.read_table(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}, which is no parquet file ({reason})", _WANTED, "Write it again") from error
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    return [name.strip() for name in table.column_names], enumerate(map(list, zip(*columns, strict=True)), 1)


def _text(value: Any) -> str:
    """Return a value as CSV would hold it: nothing for null, no fraction for a whole number, ";" between entries."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return ";".join(map(_text, value))
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
