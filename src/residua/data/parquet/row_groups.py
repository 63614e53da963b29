"""Parquet files in Hugging Face's layout of images: where images and labels stand, read a row group at a time."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import InputError
from residua._base.packages import package
from residua.data import decode as decoding
from residua.data.decode import MAX_FILE_BYTES, BadImage, Pixels, decode_bytes
from residua.data.file_identity import identities
from residua.data.image_source import Indices
from residua.data.shards.window import WINDOW

EXTRA = "shards"
METADATA = b"huggingface"
"""The key of a schema's metadata under which Hugging Face's `datasets` states the kinds of its columns."""
BUDGET_BYTES = 1 << 30
"""Encoded images of row groups that are held in memory. Data above this is trained on row group by row group."""
_IMAGES, _LABELS = ("image", "img", "jpg", "png"), ("label", "labels", "fine_label", "class", "cls")


@dataclass(frozen=True)
class Columns:
    """What a file's columns hold.

    Attributes:
        image: the column of the encoded images: a structure of `bytes` and `path`, or bytes.
        label: the column of the labels.
        names: of the classes by label, () where the file states none.
    """

    image: str
    label: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class ParquetFile:
    """One file, as its footer states it.

    Attributes:
        path: the file, on this machine.
        name: of it, for people: its path, or the address that it was fetched from.
        groups: rows of each row group.
        sizes: bytes of each row group's images, uncompressed.
        columns: which are images and labels.
        labels: of all rows: numbers, names, or None.
    """

    path: Path
    name: str
    groups: tuple[int, ...]
    sizes: tuple[int, ...]
    columns: Columns
    labels: tuple[int | str | None, ...]


def read_file(path: Path, name: str = "") -> ParquetFile:
    """Read the footer and the labels of a file, which has a `name` for people; no image is read.

    Raises:
        InputError: it is no parquet file, or has no column of images or of labels; pyarrow is not installed.
    """
    pyarrow, parquet = package("pyarrow", EXTRA), package("pyarrow.parquet", EXTRA)
    try:
        with parquet.ParquetFile(path) as file:
            columns = _columns(path, file.schema_arrow)
            stated = file.read([columns.label]).column(0).to_pylist()
            metadata = file.metadata
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            sizes = [_image_bytes(group, columns.image) for group in groups]
            rows = tuple(group.num_rows for group in groups)
    except (pyarrow.ArrowException, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}, which is no whole parquet file ({reason})", "a whole one", "Fetch or pack it again"
        ) from None
    for value in stated:
        if value is not None and not isinstance(value, int | str):
            raise InputError(
                f"{path}: {columns.label} holds {value!r:.40}", "a number or a name per image", "Correct the column"
            )
    return ParquetFile(path, name or str(path), rows, tuple(sizes), columns, tuple(stated))


def holds_images(path: Path) -> bool:
    """Return whether a parquet file has a column of images; False where pyarrow is not installed."""
    try:
        parquet = package("pyarrow.parquet", EXTRA)
        return _image_column(parquet.read_schema(path)) is not None
    except (InputError, OSError, ValueError):  # pyarrow's errors of damaged files are ValueErrors
        return False


def _columns(path: Path, schema: Any) -> Columns:
    image = _image_column(schema)
    features = _features(schema)
    labels = [name for name in _LABELS if name in schema.names]
    labels = [name for name, each in features.items() if each.get("_type") == "ClassLabel"] + labels
    if image is None or not labels:
        raise InputError(
            f"{path} with the columns {', '.join(schema.names[:10])}",
            "a column image (bytes and path), and a column label",
            "Name its columns so, or pack the images: residua pack FOLDER --format parquet --out FOLDER",
        )
    names = features.get(labels[0], {}).get("names") or ()
    return Columns(image, labels[0], tuple(map(str, names)))


def _image_column(schema: Any) -> str | None:
    kinds = {name: each.get("_type") for name, each in _features(schema).items()}
    named = [name for name in schema.names if kinds.get(name) == "Image"]
    named += [name for name in _IMAGES if name in schema.names]
    return next((name for name in named if _holds_bytes(schema.field(name).type)), None)


def _holds_bytes(kind: Any) -> bool:
    words = str(kind)
    return words in ("binary", "large_binary") or words.startswith(("struct<bytes: binary", "struct<bytes: large"))


def _features(schema: Any) -> dict[str, Any]:
    try:
        features = json.loads((schema.metadata or {})[METADATA])["info"]["features"]
        return {name: each for name, each in features.items() if isinstance(each, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _image_bytes(group: Any, image: str) -> int:
    chunks = (group.column(number) for number in range(group.num_columns))
    return sum(each.total_uncompressed_size for each in chunks if each.path_in_schema.split(".")[0] == image)


class RowGroups:
    """Row groups of parquet files, read whole and held while `BUDGET_BYTES` suffice.

    Args:
        files: as `read_file` returned them.
    """

    def __init__(self, files: Sequence[ParquetFile]) -> None:
        self.files = tuple(files)
        self.places = [(file, number) for file in files for number in range(len(file.groups))]
        self._begin()

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[int, threading.Lock] = {}
        self._held: OrderedDict[int, tuple[Any, int]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files, "places": self.places}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def encoded(self, group: int, row: int) -> bytes | None:
        """Return the bytes of an image, None where the file has none.

        Raises:
            InputError: the group cannot be read.
        """
        with self._guard:
            if group in self._held:
                self._held.move_to_end(group)
                return self._bytes(self._held[group][0], row)
            lock = self._locks.setdefault(group, threading.Lock())
        # One thread reads a group, and the others that need it wait.
        with lock:
            with self._guard:
                held = self._held.get(group)
            values = held[0] if held else self._read(group)
            with self._guard:
                self._held[group] = values, values.nbytes
                total = sum(size for _, size in self._held.values())
                while total > BUDGET_BYTES and len(self._held) > 2:
                    total -= self._held.popitem(last=False)[1][1]
        return self._bytes(values, row)

    def _read(self, group: int) -> Any:
        pyarrow, parquet = package("pyarrow", EXTRA), package("pyarrow.parquet", EXTRA)
        file, number = self.places[group]
        try:
            with parquet.ParquetFile(file.path) as opened:
                column = opened.read_row_group(number, [file.columns.image], use_threads=False).column(0)
        except (pyarrow.ArrowException, OSError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"row group {number + 1} of {file.name}: {reason}", "a whole file", "Fetch it again"
            ) from None
        values = column.combine_chunks()
        return values.field("bytes") if pyarrow.types.is_struct(values.type) else values

    @staticmethod
    def _bytes(values: Any, row: int) -> bytes | None:
        content: bytes | None = values[row].as_py()
        return content


class ParquetImages:
    """Encoded images of row groups.

    Args:
        groups: of the part.
        rows: int64 (N,), the images that are meant, by their number in the part.

    Attributes:
        window: images per window where training takes row groups in turn: those of a quarter of the budget.
    """

    pixels = None

    def __init__(self, groups: RowGroups, rows: Indices) -> None:
        self._groups, self._rows = groups, rows
        counts = [rows for file in groups.files for rows in file.groups]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._bytes = sum(sum(file.sizes) for file in groups.files)
        mean = max(self._bytes // max(int(self._starts[-1]), 1), 1)
        self.window = min(WINDOW, max(BUDGET_BYTES // 4 // mean, 1))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def large(self) -> bool:
        """Whether training takes row groups in turn: they do not stay in memory."""
        return self._bytes > BUDGET_BYTES

    @cached_property
    def shard_counts(self) -> Indices | None:
        """Images per row group, int64 (G,); None where they do not stand in the order of the groups."""
        if np.any(np.diff(self._rows) < 0):
            return None
        return np.diff(np.searchsorted(self._rows, self._starts))

    def prepare(self, shards: Indices) -> None:
        """Do nothing: a group is read when the first image of it is."""

    def read(self, index: int) -> Pixels:
        """See `ImageSource.read`."""
        return decode_bytes(self.encoded(index), self.where(index))

    def encoded(self, index: int) -> bytes:
        """See `ImageSource.encoded`."""
        row, name = int(self._rows[index]), self.where(index)
        group = int(np.searchsorted(self._starts, row, "right")) - 1
        try:
            content = self._groups.encoded(group, row - int(self._starts[group]))
        except InputError as error:
            raise BadImage(name, error.given, error.remedy) from None
        if content is None:
            raise BadImage(name, "the file names it and does not hold its bytes")
        if len(content) > MAX_FILE_BYTES:
            raise BadImage(name, f"{len(content):,} bytes; at most {MAX_FILE_BYTES:,} are read")
        return content

    def where(self, index: int) -> str:
        """Return the file, and the number of the image in it from 1 on."""
        row = int(self._rows[index])
        for file in self._groups.files:
            if row < (count := len(file.labels)):
                return f"{file.name}{os.sep}image {row + 1}"
            row -= count
        raise IndexError(index)

    def least_bytes(self) -> int:
        """Return the size of the encoded images, by the footers."""
        return self._bytes * len(self) // max(int(self._starts[-1]), 1)

    def key(self) -> str:
        """Return a hash of what identifies the content of each file, of the rows, and of the decoder."""
        digest = hashlib.sha256(f"parquet\0{decoding.VERSION}".encode())
        for identity in identities([file.path for file in self._groups.files]):
            digest.update(identity)
        digest.update(self._rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def subset(self, indices: Indices) -> ParquetImages:
        """See `ImageSource.subset`."""
        return ParquetImages(self._groups, self._rows[indices])
