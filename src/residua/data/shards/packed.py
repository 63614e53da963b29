"""Images of shards that are found by the compact index, with nothing in memory for each of them."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from residua._base.errors import InputError
from residua.data import decode as decoding
from residua.data.decode import MAX_FILE_BYTES, BadImage, FetchFailure, Pixels, decode_bytes
from residua.data.image_source import Indices
from residua.data.shards.index import Shard, known_bytes
from residua.data.shards.members import BLOCK, PartIndex, Places, map_places


class ShardFiles(Protocol):
    """The files of the shards, wherever they lie."""

    def path(self, shard: Shard) -> Path:
        """Return a file on this machine with the bytes of a shard.

        Raises:
            BadImage: the shard is damaged.
            InputError: it cannot be had.
        """
        ...

    def where(self, shard: Shard) -> str:
        """Return the name of a shard for people."""
        ...

    def prepare(self, shards: list[Shard]) -> None:
        """Begin to fetch shards that are read soon; returns at once."""
        ...


class LocalShards:
    """Shards in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begin()

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._reasons: dict[str, str] = {}  # why a shard cannot be used, "" for one that can

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def path(self, shard: Shard) -> Path:
        """See `ShardFiles.path`: a shard is checked against its hash when an image of it is first asked for."""
        with self._guard:
            lock = self._locks.setdefault(shard.url, threading.Lock())
        with lock:
            if shard.url not in self._reasons:
                self._reasons[shard.url] = known_bytes(self._folder, shard)
        if reason := self._reasons[shard.url]:
            raise BadImage(shard.url, reason, "Fetch or pack this shard again")
        return self._folder / shard.url

    def where(self, shard: Shard) -> str:
        """See `ShardFiles.where`."""
        return str(self._folder / shard.url)

    def prepare(self, shards: list[Shard]) -> None:
        """Do nothing: they are there."""


def _read(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(size)


class PackedImages:
    """Encoded images of a part, each read in place.

    Args:
        files: of the shards.
        shards: of the part, in the order of the index.
        part: where the places of the images are stated.
        places: the file that states them.
        large: whether the data set is one for which training takes shards in turn.
        rows: int64 (N,), the images that are meant, in their order; None for all.

    Attributes:
        large: as given.
    """

    pixels = None

    def __init__(
        self,
        files: ShardFiles,
        shards: tuple[Shard, ...],
        part: PartIndex,
        places: Path,
        *,
        large: bool,
        rows: Indices | None = None,
    ) -> None:
        self._files, self._shards, self._part, self._path = files, shards, part, places
        self.large, self._rows = large, rows
        self._starts = np.concatenate([[0], np.cumsum([shard.nsamples for shard in shards])]).astype(np.int64)

    def __getstate__(self) -> dict[str, object]:
        # A mapped array would travel to other processes by value.
        return {name: value for name, value in self.__dict__.items() if name != "_places"}

    @cached_property
    def _places(self) -> Places:
        return map_places(self._path, self._part)

    def __len__(self) -> int:
        return self._part.images if self._rows is None else len(self._rows)

    @cached_property
    def shard_counts(self) -> Indices | None:
        """Images per shard, int64 (S,); None where they do not stand in the order of the shards."""
        if self._rows is None:
            return np.diff(self._starts)
        if np.any(np.diff(self._rows) < 0):
            return None
        return np.diff(np.searchsorted(self._rows, self._starts))

    def prepare(self, shards: Indices) -> None:
        """Begin to fetch the shards of these numbers, which are read soon."""
        self._files.prepare([self._shards[number] for number in shards])

    def read(self, index: int) -> Pixels:
        """See `ImageSource.read`."""
        return decode_bytes(self.encoded(index), self.where(index))

    def encoded(self, index: int) -> bytes:
        """See `ImageSource.encoded`."""
        row, shard = self._row(index)
        block, size = (int(value) for value in self._places[row])
        name = self.where(index)
        if size > MAX_FILE_BYTES:
            raise BadImage(name, f"{size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
        try:
            try:
                content = _read(self._files.path(shard), block * BLOCK, size)
            except FileNotFoundError:  # another process has just removed it from the cache
                content = _read(self._files.path(shard), block * BLOCK, size)
        except BadImage as error:
            raise BadImage(name, f"its shard {error.reason}", error.remedy) from None
        except InputError as error:
            raise FetchFailure(name, f"{FetchFailure.WORDS}{error.given}", error.remedy) from None
        except OSError as error:
            raise BadImage(name, f"cannot be read ({error.strerror})") from None
        if len(content) < size:
            raise BadImage(name, "its tar file ends within it")
        return content

    def where(self, index: int) -> str:
        """Return the name of the tar file, and the number of the image in it from 1 on."""
        row, shard = self._row(index)
        first = self._starts[np.searchsorted(self._starts, row, "right") - 1]
        return f"{self._files.where(shard)}{os.sep}image {row - first + 1}"

    def least_bytes(self) -> int:
        """Return the size of all encoded images; of a large data set that of its shards, which is about as much."""
        if self.large:
            return sum(shard.filesize for shard in self._shards) * len(self) // max(self._part.images, 1)
        sizes = self._places[:, 1] if self._rows is None else self._places[self._rows, 1]
        return int(sizes.sum(dtype=np.int64))

    def key(self) -> str:
        """Return a hash of the shards' hashes, of the images that are meant, and of the decoder's version."""
        digest = hashlib.sha256(f"packed\0{decoding.VERSION}".encode())
        for shard in self._shards:
            digest.update(f"\0{shard.url}\0{shard.sha256}".encode("utf-8", "surrogateescape"))
        if self._rows is not None:
            digest.update(self._rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def subset(self, indices: Indices) -> PackedImages:
        """See `ImageSource.subset`."""
        rows = indices if self._rows is None else self._rows[indices]
        return PackedImages(self._files, self._shards, self._part, self._path, large=self.large, rows=rows)

    def _row(self, index: int) -> tuple[int, Shard]:
        row = int(index if self._rows is None else self._rows[index])
        return row, self._shards[int(np.searchsorted(self._starts, row, "right")) - 1]
