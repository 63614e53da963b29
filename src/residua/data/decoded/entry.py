"""One entry of the decode cache: decoded images in a file mapped into memory, checked against damage.

An entry is a folder of two files. `pixels` holds the images; `index` holds the SHA-256 of what follows in it, and then
arrays. They are a checksum of each image's pixels, a hash of what it was decoded from, its size, and why it could not
be decoded. The last is the key of the entry: a folder that was copied over another is not taken for it.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from residua._base.errors import Damaged
from residua._base.files import read_regular
from residua._base.words import agree, counted, some
from residua.data.ahead import in_order
from residua.data.decode import BadImage, FetchFailure, Pixels

INDEX = "index"
_KINDS = {"sizes": (np.int64, (2,)), "checksums": (np.uint32, ()), "contents": (np.uint8, (32,))}
_LARGEST_SIDE = 100_000_000  # pixels: an image of one row may have so many
_LARGEST_INDEX = 1 << 30  # twenty million images of some 50 bytes each


@dataclass(frozen=True, eq=False)
class Index:
    """What an entry knows of its images beside their pixels.

    Attributes:
        sizes: int64 (N, 2), height and width of each image in `pixels`; 0 × 0 for those that are not there.
        checksums: uint32 (N,), CRC-32 of each image's pixels. One error in 4 × 10⁹ goes unseen: this guards
            against damage, not against people.
        contents: uint8 (N, 32), SHA-256 of the encoded bytes of each image; zeros where they could not be read.
        bad: position -> reason, of the images that could not be decoded.
        passing: those of them whose reason may be gone another time; an entry with such images is not kept.
    """

    sizes: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32]
    contents: npt.NDArray[np.uint8]
    bad: dict[int, str] = field(default_factory=dict)
    passing: set[int] = field(default_factory=set)

    @staticmethod
    def empty(count: int) -> Index:
        """Return the index of `count` images of which nothing is known yet."""
        return Index(np.zeros((count, 2), np.int64), np.zeros(count, np.uint32), np.zeros((count, 32), np.uint8))

    def note(self, errors: Mapping[int, BadImage]) -> None:
        """Take note of the images that could not be decoded, by position."""
        self.bad.update((image, error.reason) for image, error in errors.items())
        self.passing.update(image for image, error in errors.items() if isinstance(error, FetchFailure))

    def add(self, image: int, pixels: Pixels) -> None:
        """Take note of the pixels of image number `image`."""
        self.sizes[image] = pixels.shape[:2]
        self.checksums[image] = checksum(pixels)

    def write(self, path: Path, key: str) -> None:
        """Write the index of the entry that has this key."""
        stream = io.BytesIO()
        places = np.array(sorted(self.bad), np.int64)
        reasons = np.array([self.bad[image] for image in places.tolist()], np.str_)
        np.savez(
            stream,
            sizes=self.sizes,
            checksums=self.checksums,
            contents=self.contents,
            places=places,
            reasons=reasons,
            key=np.array(key),
        )
        content = stream.getvalue()
        path.write_bytes(hashlib.sha256(content).digest() + content)

    @staticmethod
    def read(path: Path, count: int, key: str) -> Index:
        """Read the index of `count` images, of the entry that has this key.

        Raises:
            Damaged: it is not there, not whole, or another entry's.
        """
        whole = read_regular(path, _LARGEST_INDEX)
        if hashlib.sha256(whole[32:]).digest() != whole[:32]:
            raise Damaged(path, "its checksum does not fit")
        try:
            with np.load(io.BytesIO(whole[32:])) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise Damaged(path, f"it holds no arrays ({type(error).__name__})") from None
        if reason := _unfit(arrays, count, key):
            raise Damaged(path, reason)
        bad = dict(zip(arrays["places"].tolist(), arrays["reasons"].tolist(), strict=True))
        return Index(arrays["sizes"], arrays["checksums"], arrays["contents"], bad)


def _unfit(arrays: dict[str, npt.NDArray[Any]], count: int, key: str) -> str:
    """Return what is wrong with the arrays of an index, "" for nothing."""
    if missing := [name for name in ("sizes", *_KINDS, "places", "reasons", "key") if name not in arrays]:
        return f"it lacks {some(missing)}"
    if str(arrays["key"]) != key:
        return "it is another entry's"
    sizes, places, reasons = arrays["sizes"], arrays["places"], arrays["reasons"]
    if sizes.ndim != 2 or len(sizes) != count:
        return f"it describes {counted(len(sizes) if sizes.ndim else 0, 'image')}, not {count}"
    for name, (kind, shape) in _KINDS.items():
        if arrays[name].dtype != kind or arrays[name].shape != (count, *shape):
            return f"its {name} are {arrays[name].dtype} of {arrays[name].shape}"
    if (sizes < 0).any() or (sizes > _LARGEST_SIDE).any():
        return "its sizes are no sizes"
    if places.dtype != np.int64 or reasons.dtype.kind != "U" or places.ndim != 1 or places.shape != reasons.shape:
        return "its faults are no list of numbers and texts"
    if (places < -1).any() or (places >= max(count, 1)).any():
        return "its faults are of images that are not there"
    return ""


@dataclass(eq=False)
class DecodedImages:
    """Images that stand decoded in memory, or in a file mapped into memory.

    Attributes:
        stored: uint8 (bytes,), all images one after another.
        index: their sizes, checksums and faults.
        again: decodes image i as it was decoded before, where the file may be damaged; else None.
        folder: the entry, removed when its pixels turn out to be damaged.
    """

    stored: Pixels
    index: Index
    again: Callable[[int], Pixels] | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        areas = self.index.sizes.prod(axis=1) * 3
        self._starts = np.concatenate([[0], np.cumsum(areas)])
        self._unchecked = areas > 0 if self.again is not None else np.zeros(len(areas), bool)
        self._lock = threading.Lock()

    @property
    def bad(self) -> dict[int, str]:
        """Position -> reason, of the images that could not be decoded."""
        return self.index.bad

    @property
    def largest_side(self) -> int:
        """The longest side of any image, pixels."""
        return int(self.index.sizes.max(initial=0))

    def image(self, index: int) -> Pixels:
        """Return image `index`: uint8 (H, W, 3), a view; its pixels are checked when they are first asked for.

        Raises:
            BadImage: the kept pixels are damaged, and the image no longer decodes.
        """
        if self._unchecked[index]:
            self._check(index)
        return self._view(index)

    def check(self, workers: int) -> None:
        """Check all images that were not checked yet.

        Raises:
            BadImage: the kept pixels are damaged, and an image no longer decodes.
        """
        places = np.flatnonzero(self._unchecked).tolist()
        for _ in in_order(places, self._check, workers, in_flight=len(places) or 1):
            pass

    def array(self, workers: int) -> Pixels | None:
        """Return the good images as one checked array (N - len(bad), H, W, 3), or None where sizes differ."""
        good = self.index.sizes[self.index.sizes[:, 0] > 0]
        if len(good) == 0 or (good != good[0]).any():
            return None
        self.check(workers)
        same: Pixels = self.stored.reshape(len(good), *good[0], 3)
        return same

    def _view(self, index: int) -> Pixels:
        height, width = self.index.sizes[index]
        own: Pixels = self.stored[self._starts[index] : self._starts[index + 1]].reshape(height, width, 3)
        return own

    def _check(self, index: int) -> None:
        if checksum(self._view(index)) != self.index.checksums[index]:
            self._repair()
        self._unchecked[index] = False

    def _repair(self) -> None:
        """Decode again every image whose kept pixels are damaged, and let the next run build a new entry."""
        with self._lock:
            damaged = [
                image
                for image in np.flatnonzero(self._unchecked).tolist()
                if checksum(self._view(image)) != self.index.checksums[image]
            ]
            if not damaged or self.again is None:
                return
            for image in damaged:
                # The mapping is private: this reaches memory only.
                self._view(image)[:] = 0 if image in self.bad else self.again(image)
                self._unchecked[image] = False
            if self.folder is not None:
                shutil.rmtree(self.folder, ignore_errors=True)
        warnings.warn(
            f"The decode cache holds damaged pixels of {counted(len(damaged), 'image')} ({self.folder}: images "
            f"{some(map(str, damaged), 5)}); {agree(len(damaged), 'it was', 'they were')} decoded again.",
            stacklevel=1,  # found in a thread, where no caller stands above
        )


def checksum(pixels: Pixels) -> int:
    """Return the CRC-32 of pixels, row by row."""
    return zlib.crc32(np.ascontiguousarray(pixels).data)


def load(folder: Path, count: int, again: Callable[[int], Pixels]) -> DecodedImages:
    """Open the entry of `count` images.

    Raises:
        Damaged: it is not there, or not whole. Pixels are checked later, when they are first asked for.
    """
    index = Index.read(folder / INDEX, count, folder.name)
    total = int(index.sizes.prod(axis=1).sum()) * 3
    pixels = folder / "pixels"
    if total == 0:
        return DecodedImages(np.zeros(0, np.uint8), index)
    try:
        if (held := pixels.stat().st_size) != total:
            raise Damaged(pixels, f"it has {held:,} bytes, not {total:,}")
        # Copy-on-write: torch wants writable memory, and nothing may reach the file.
        stored = np.memmap(pixels, np.uint8, "c", shape=(total,))
    except (OSError, ValueError) as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged(pixels, f"it cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return DecodedImages(stored, index, again, folder)
