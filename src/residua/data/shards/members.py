"""The compact index of a part: labels and places of its images as arrays that are mapped, not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from residua._base.errors import Damaged
from residua._base.files import atomic_path, sha256_file

BLOCK = 512
"""Bytes: what stands in a tar file begins at a multiple of them."""
Narrow = npt.NDArray[np.unsignedinteger]
Places = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class IndexFile:
    """A file of arrays beside the shards.

    Attributes:
        url: its name, in the folder of the index.
        filesize: bytes.
        sha256: of the file.
    """

    url: str
    filesize: int
    sha256: str


@dataclass(frozen=True)
class PartIndex:
    """Where labels and places of the images of a part are stated, shard by shard in the order of the index.

    Attributes:
        part: "train", "val" or "test".
        images: how many.
        class_counts: images of each class.
        labels: of uint8, uint16 or uint32 (N,): the smallest that holds every label.
        places: of uint32 (N, 2): the block of 512 bytes of its shard at which an image begins, and its size in bytes.
    """

    part: str
    images: int
    class_counts: tuple[int, ...]
    labels: IndexFile
    places: IndexFile


def beside(folder: Path, shard: str) -> Path:
    """Return where the members of a shard stand while its data set is packed."""
    return folder / f".{shard}.members"


def save_members(folder: Path, shard: str, rows: Sequence[tuple[int, int, int]]) -> None:
    """Keep (offset, size, label) of each image of a shard until all shards are written."""
    with atomic_path(beside(folder, shard)) as path, path.open("wb") as stream:
        np.save(stream, np.array(rows, np.int64).reshape(-1, 3))


def join_members(folder: Path, part: str, shards: Sequence[str], counts: Sequence[int], classes: int) -> PartIndex:
    """Write the arrays of a part from what `save_members` kept of its shards."""
    total = sum(counts)
    kind = next(kind for kind in (np.uint8, np.uint16, np.uint32) if classes - 1 <= np.iinfo(kind).max)
    labels_path, places_path = folder / f"{part}.labels.npy", folder / f"{part}.places.npy"
    class_counts = np.zeros(classes, np.int64)
    with atomic_path(labels_path) as first, atomic_path(places_path) as second:
        labels = np.lib.format.open_memmap(first, "w+", np.dtype(kind), (total,))
        places = np.lib.format.open_memmap(second, "w+", np.dtype("<u4"), (total, 2))
        start = 0
        for shard in shards:
            rows = np.load(beside(folder, shard), allow_pickle=False)
            stop = start + len(rows)
            labels[start:stop] = rows[:, 2]
            places[start:stop, 0], places[start:stop, 1] = rows[:, 0] // BLOCK, rows[:, 1]
            class_counts += np.bincount(rows[:, 2], minlength=classes)
            start = stop
        labels.flush()
        places.flush()
    assert start == total
    return PartIndex(part, total, tuple(class_counts.tolist()), _record(labels_path), _record(places_path))


def _record(path: Path) -> IndexFile:
    return IndexFile(path.name, path.stat().st_size, sha256_file(path))


def map_labels(path: Path, part: PartIndex) -> Narrow:
    """Map the labels of a part, (N,).

    Raises:
        Damaged: the file is not as it was written.
    """
    labels = _mapped(path, part.labels)
    if labels.shape != (part.images,) or labels.dtype not in (np.uint8, np.uint16, np.uint32):
        raise Damaged(path, f"it holds {labels.dtype} {labels.shape}")
    return labels


def map_places(path: Path, part: PartIndex) -> Places:
    """Map the places of a part, (N, 2).

    Raises:
        Damaged: the file is not as it was written.
    """
    places = _mapped(path, part.places)
    if places.shape != (part.images, 2) or places.dtype != np.uint32:
        raise Damaged(path, f"it holds {places.dtype} {places.shape}")
    return places


def _mapped(path: Path, record: IndexFile) -> npt.NDArray[Any]:
    try:
        if (size := path.stat().st_size) != record.filesize:
            raise Damaged(path, f"it has {size:,} bytes; the index has {record.filesize:,}")
        mapped: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged(path, str(error), absent=isinstance(error, FileNotFoundError)) from None
    return mapped
