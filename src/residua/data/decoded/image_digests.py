"""The content of every image file that a run uses, as digests: what is resumed must be the same data to the byte."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from residua._base.errors import Damaged
from residua._base.files import atomic_path, read_regular, writing
from residua._base.words import counted
from residua.data.dataset import Dataset
from residua.data.decoded.contents import content_digests, file_name, has_files

BYTES = 16  # of the SHA-256 that are kept: two files alike by chance are out of reach, and 50,000 images take 800 kB
_LARGEST_BYTES = 4 << 30  # room for thirty million images with names of 100 bytes
_REMEDY = (
    "Restore it from a copy, or begin again in a different folder: out=FOLDER. Only this file can show that the images "
    "are the same to the byte as when the run was begun"
)


@dataclass(frozen=True, eq=False)
class ImageDigests:
    """What the image files of a run contained.

    Attributes:
        names: of the files, relative to the folder of the data.
        digests: uint8 (N, 16), of each file's bytes; zeros where it cannot be read.
    """

    names: tuple[str, ...]
    digests: NDArray[np.uint8]

    def differences(self, then: ImageDigests) -> dict[str, str]:
        """Return name -> what became of it, for each file that is not what it was `then`."""
        now, before = self._by_name(), then._by_name()
        changed = {name: "has different content" for name in now if name in before and now[name] != before[name]}
        return changed | changed_names(self.names, then.names)

    def write(self, path: Path) -> None:
        """Write the digests, whole or not at all."""
        names = "\0".join(self.names).encode("utf-8", "surrogateescape")
        packed = np.frombuffer(zlib.compress(names), np.uint8)
        with writing(path), atomic_path(path) as beside, beside.open("wb") as stream:
            np.savez(stream, names=packed, digests=self.digests)

    def _by_name(self) -> dict[str, bytes]:
        return {name: row.tobytes() for name, row in zip(self.names, self.digests, strict=True)}


def changed_names(now: Iterable[str], then: Iterable[str]) -> dict[str, str]:
    """Return name -> what became of it, for each name that only one of the two has."""
    now, then = dict.fromkeys(now), dict.fromkeys(then)
    return {name: "is new" for name in now if name not in then} | {name: "is gone" for name in then if name not in now}


def read_digests(path: Path) -> ImageDigests | None:
    """Return what `ImageDigests.write` wrote, None where there is no such file.

    Raises:
        Damaged: the file is not as it was written.
    """
    try:
        content = read_regular(path, _LARGEST_BYTES)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            packed, digests = arrays["names"], arrays["digests"]
        names = zlib.decompress(packed.tobytes()).decode("utf-8", "surrogateescape").split("\0")
    except Damaged as error:
        if error.absent:
            return None
        raise Damaged(path, error.reason, remedy=_REMEDY) from None
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zlib.error, zipfile.BadZipFile):
        reason = "it was cut short or changed after it was written" if content else "it is empty"
        raise Damaged(path, reason, remedy=_REMEDY) from None
    if digests.dtype != np.uint8 or digests.shape != (len(names), BYTES):
        raise Damaged(path, f"digests of shape {digests.shape} for {counted(len(names), 'name')}", remedy=_REMEDY)
    return ImageDigests(tuple(names), digests)


def digest_images(dataset: Dataset, workers: int | None = None) -> ImageDigests | None:
    """Return the digest of every image file; None for data whose hash covers the pixels already.

    Where a loader has just decoded the files, it has hashed them too, and none is read again.

    Args:
        dataset: opened.
        workers: threads that read; None: one per processor.
    """
    parts = [split for split in dataset.splits.values() if has_files(split.images)]
    if not parts:
        return None
    by_name: dict[str, str] = {}
    for split in parts:
        by_name |= content_digests(split, dataset.given, workers)
    digests = b"".join(bytes.fromhex(digest)[:BYTES].ljust(BYTES, b"\0") for digest in by_name.values())
    return ImageDigests(tuple(by_name), np.frombuffer(digests, np.uint8).reshape(-1, BYTES))


def file_names(dataset: Dataset) -> dict[tuple[str, int], str]:
    """Return (part, position) -> name, as in `ImageDigests.names`, of each image file."""
    return {
        (split.name, index): file_name(split.where(index), dataset.given)
        for split in dataset.splits.values()
        if has_files(split.images)
        for index in range(len(split))
    }
