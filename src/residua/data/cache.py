"""Decoded images, kept: uint8 files that are mapped into memory, keyed by what they were decoded from.

An entry is a folder: `pixels.npy`, `bad.json` and, for images of differing sizes, `shapes.npy`. It is written
under another name, synced and renamed; a lock lets a second run wait for the first instead of decoding again.
Beyond 20 GiB in all, the entries that were used longest ago go.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError
from residua._base.places import cache_root
from residua._base.words import some
from residua.data.dataset import Split
from residua.data.decode import BadImage, Pixels
from residua.data.image_source import ImageSource
from residua.data.preprocess import read_uint8
from residua.specs.preprocess import PreprocessSpec

BUDGET_BYTES = 2 << 30
"""Decoded data above this is not kept but decoded anew in each epoch."""

LIMIT_BYTES = 20 << 30
"""Entries are removed, the least recently used first, until they are not larger together than this."""

_ENTRY = re.compile(r"[0-9a-f]{32}|\.[0-9a-f]{32}\..+")
_CHUNK = 32
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images that stand decoded in a file mapped into memory.

    Attributes:
        pixels: uint8 (N, S, S, 3), or all images one after another (bytes,) when `shapes` is given.
        bad: position -> reason, for the images that could not be decoded; their pixels are zero.
        shapes: int64 (N, 2), height and width of each image, or None.
    """

    pixels: Pixels
    bad: dict[int, str]
    shapes: npt.NDArray[np.int64] | None = None

    def image(self, index: int) -> Pixels:
        """Return image `index`: uint8 (H, W, 3), a view."""
        if self.shapes is None:
            same: Pixels = self.pixels[index]
            return same
        height, width = self.shapes[index]
        start = self._starts[index]
        own: Pixels = self.pixels[start : start + height * width * 3].reshape(height, width, 3)
        return own

    def __post_init__(self) -> None:
        if self.shapes is not None:
            areas = self.shapes.prod(axis=1) * 3
            object.__setattr__(self, "_starts", np.concatenate([[0], np.cumsum(areas)]))

    _starts: npt.NDArray[np.int64] = None  # type: ignore[assignment]

    @property
    def uniform(self) -> Pixels | None:
        """The good images as one array (N - len(bad), H, W, 3) when they have one size, else None."""
        if self.shapes is None:
            return np.delete(self.pixels, list(self.bad), axis=0) if self.bad else self.pixels
        good = np.delete(self.shapes, list(self.bad), axis=0)
        if len(good) == 0 or (good != good[0]).any():
            return None
        same: Pixels = self.pixels.reshape(len(good), *good[0], 3)
        return same


def cache_folder() -> Path:
    """Return $RESIDUA_CACHE/decoded, or ~/.cache/residua/decoded."""
    return cache_root() / "decoded"


def fixed(images: ImageSource, spec: PreprocessSpec, workers: int) -> Decoded | None:
    """Return every image decoded and preprocessed to (S, S, 3), or None when that is above the budget."""
    if len(images) * spec.image_size**2 * 3 > BUDGET_BYTES:
        return None
    target = f"fixed {spec.image_size} {spec.resize} {spec.interpolation}"

    def build(folder: Path) -> None:
        shape = (len(images), spec.image_size, spec.image_size, 3)
        pixels = _allocate(folder / "pixels.npy", shape)
        bad = fill(pixels, lambda index: read_uint8(lambda: images.read(index), spec), workers)
        (folder / "bad.json").write_text(json.dumps(bad))

    try:
        return _through_cache(images, target, build)
    except OSError as error:
        warn_unusable(error)
        memory = np.zeros((len(images), spec.image_size, spec.image_size, 3), np.uint8)
        return Decoded(memory, fill(memory, lambda index: read_uint8(lambda: images.read(index), spec), workers))


def ragged(images: ImageSource, workers: int) -> Decoded | None:
    """Return every image decoded at its own size, or None when that is above the budget.

    Raises:
        OSError: the cache cannot be written.
    """
    if images.least_bytes() > BUDGET_BYTES:
        return None

    def build(folder: Path) -> None:
        shapes, total, bad = np.zeros((len(images), 2), np.int64), 0, {}
        with (folder / "pixels.raw").open("wb") as stream:
            for index, result in enumerate(in_order(range(len(images)), images.read, workers)):
                if isinstance(result, BadImage):
                    bad[index] = result.reason
                    continue
                shapes[index], total = result.shape[:2], total + result.size
                if total > BUDGET_BYTES:
                    break
                stream.write(np.ascontiguousarray(result).data)
        if total > BUDGET_BYTES:
            (folder / "pixels.raw").unlink()
            shapes = np.zeros((0, 2), np.int64)
        np.save(folder / "shapes.npy", shapes)
        (folder / "bad.json").write_text(json.dumps(bad))

    decoded = _through_cache(images, "ragged", build)
    return None if decoded.shapes is not None and len(decoded.shapes) == 0 else decoded


def examined(images: ImageSource, workers: int) -> dict[int, str]:
    """Decode every image in full and keep nothing of it; return position -> reason of those that fail.

    The answer is cached: files that stay as they are, are examined once.
    """

    def build(folder: Path) -> None:
        np.save(folder / "shapes.npy", np.zeros((0, 2), np.int64))
        (folder / "bad.json").write_text(json.dumps(_failures(len(images), images.read, workers)))

    try:
        return _through_cache(images, "examined", build).bad
    except OSError as error:
        warn_unusable(error)
        return _failures(len(images), images.read, workers)


def fill(out: Pixels, make: Callable[[int], Pixels], workers: int) -> dict[int, str]:
    """Write make(i) to out[i], in threads; return position -> reason of those that failed."""

    def one(index: int) -> None:
        out[index] = make(index)

    return _failures(len(out), one, workers)


def _failures(count: int, work: Callable[[int], object], workers: int) -> dict[int, str]:
    """Call work(0) … work(count - 1) in threads; return position -> reason of those that raised BadImage."""

    def one(start: int) -> dict[int, str]:
        bad = {}
        for index in range(start, min(start + _CHUNK, count)):
            try:
                work(index)
            except BadImage as error:
                bad[index] = error.reason
        return bad

    bad: dict[int, str] = {}
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for part in pool.map(one, range(0, count, _CHUNK)):
            bad.update(part)
    return bad


def in_order(sources: Sequence[T], make: Callable[[T], R], workers: int) -> Iterator[R | BadImage]:
    """Yield make(source) in the order of `sources`, computed in threads a bounded way ahead."""

    def one(source: T) -> R | BadImage:
        try:
            return make(source)
        except BadImage as error:
            return error

    ahead: deque[Future[R | BadImage]] = deque()
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        try:
            for source in sources:
                ahead.append(pool.submit(one, source))
                if len(ahead) > 4 * max(workers, 1):
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def refusal(*parts: tuple[Split, dict[int, str]]) -> InputError:
    """Return the error that names the files of every part that do not decode, given position -> reason."""
    said = []
    for split, bad in parts:
        named = [f"{split.where(index)} ({reason})" for index, reason in sorted(bad.items())]
        said.append(f"{len(bad)} of {len(split)} images of the {split.name} part cannot be decoded: {some(named, 20)}")
    return InputError(
        "; ".join(said),
        "images that decode completely",
        "Mend or delete them (`residua check DATA` lists all), or pass --on-bad skip to leave them out",
    )


def _through_cache(images: ImageSource, target: str, build: Callable[[Path], None]) -> Decoded:
    root = cache_folder()
    root.mkdir(parents=True, exist_ok=True)
    entry = root / entry_name(images, target)
    with (root / f"{entry.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(OSError, ValueError):
            loaded = _load(entry)
            os.utime(entry)
            return loaded
        for torn in root.glob(f".{entry.name}.*"):
            shutil.rmtree(torn, ignore_errors=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=root))
        try:
            build(beside)
            for file in beside.iterdir():
                sync(file)
            shutil.rmtree(entry, ignore_errors=True)
            os.replace(beside, entry)
            sync(root)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        with contextlib.suppress(OSError):
            _tidy(root, entry)
        return _load(entry)


def _tidy(root: Path, mine: Path) -> None:
    """Remove what killed builders left, and the least recently used entries beyond the limit; never `mine`."""
    entries: dict[Path, tuple[int, int]] = {}
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            # What has another name, somebody else put there.
            if _ENTRY.fullmatch(folder.name) and folder.is_dir():
                entries[folder] = folder.stat().st_mtime_ns, sum(file.stat().st_size for file in folder.iterdir())
    torn = [folder for folder in entries if folder.name.startswith(".")]
    whole = sorted(entries.keys() - {mine, *torn}, key=entries.__getitem__)
    excess = sum(entries[folder][1] for folder in (*whole, mine)) - LIMIT_BYTES
    for folder in torn:
        with _unless_in_use(root, folder.name.split(".")[1]) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)
    for folder in whole:
        if excess <= 0:
            break
        with _unless_in_use(root, folder.name) as free:
            # Whoever has the files mapped keeps them: the system frees them afterwards.
            if free:
                shutil.rmtree(folder, ignore_errors=True)
                excess -= entries[folder][1]


@contextlib.contextmanager
def _unless_in_use(root: Path, key: str) -> Iterator[bool]:
    """Yield whether the lock of the entry `key` could be had; it is held meanwhile."""
    with (root / f"{key}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(entry: Path) -> Decoded:
    bad = {int(index): reason for index, reason in json.loads((entry / "bad.json").read_text()).items()}
    # Copy-on-write: torch wants writable memory, and nothing may reach the file.
    if not (entry / "shapes.npy").exists():
        return Decoded(np.load(entry / "pixels.npy", mmap_mode="c"), bad)
    shapes = np.load(entry / "shapes.npy")
    total = int(shapes.prod(axis=1).sum()) * 3
    if total == 0:
        return Decoded(np.zeros(0, np.uint8), bad, shapes)
    return Decoded(np.memmap(entry / "pixels.raw", np.uint8, "c", shape=(total,)), bad, shapes)


def _allocate(path: Path, shape: tuple[int, ...]) -> Pixels:
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    # A hole in a mapped file kills the process when the disk is full; a refused allocation is an ordinary
    # error. Systems without the call (macOS) keep the hole.
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array


def entry_name(images: ImageSource, target: str) -> str:
    """Return 32 hexadecimal digits of `target` and everything that the images depend on."""
    return hashlib.sha256(f"{target}\0{images.key()}".encode()).hexdigest()[:32]


def warn_unusable(error: OSError) -> None:
    """Warn that decoded images cannot be kept."""
    warnings.warn(
        f"The decode cache at {cache_folder()} cannot be used ({error.strerror or error}); "
        "images are decoded again in every run. Point $RESIDUA_CACHE at a folder with space.",
        stacklevel=3,
    )
