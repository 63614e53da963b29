"""A folder of things that can be made again: found by key, whole or absent, the least recently used removed first."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from residua._base.errors import Damaged
from residua._base.files import atomic_path, cause, sync
from residua._base.lock import if_free, waiting
from residua._base.places import cache_root, distrust, make_private

_KEY = "[0-9a-f]{16,64}"
_FRESH_SECONDS = 3600  # writing takes seconds: what is an hour old was left by a builder that was killed
_warned: set[Path] = set()
T = TypeVar("T")


class _Unusable(Exception):
    """The folder cannot be used; the message states why."""


@dataclass(frozen=True)
class Cache:
    """Entries under `cache_root()`/`name`, each a file or a folder that its key names.

    Entries are published by renaming them. What another user could have written is not believed: such a folder is
    not used, and a warning states so once.

    Attributes:
        name: of the folder.
        limit: bytes of all entries together; beyond it those go that were used longest ago.
        suffix: that the names of entries end in, such as ".safetensors".
        without: what happens where the folder cannot be used, such as "images are decoded in every run".
    """

    name: str
    limit: int
    suffix: str = ""
    without: str = "nothing is kept"

    @property
    def root(self) -> Path:
        """The folder."""
        return cache_root() / self.name

    def path(self, key: str) -> Path:
        """Return where the entry stands, or would stand.

        Args:
            key: 16 to 64 hexadecimal digits of all that the entry depends on.
        """
        assert re.fullmatch(_KEY, key), key
        return self.root / f"{key}{self.suffix}"

    def read(self, key: str, load: Callable[[Path], T]) -> T | None:
        """Return what `load` makes of the entry; None where it is absent or damaged.

        Args:
            load: reads an entry; it raises `Damaged` where that is not whole.
        """
        try:
            self._require_trust()
        except FileNotFoundError:
            return None
        except (_Unusable, OSError) as error:
            self._warn(error)
            return None
        return self._loaded(self.path(key), load)

    def write(self, key: str, write: Callable[[Path], None]) -> None:
        """Keep an entry that is one file. Where that cannot be, a warning states why, and nothing else suffers."""
        try:
            self._make()
            if self.path(key).is_dir():
                _remove(self.path(key))
            with atomic_path(self.path(key)) as beside:
                write(beside)
            self._tidy(self.path(key))
        except (_Unusable, OSError) as error:
            self._warn(error)

    def read_or_build(self, key: str, load: Callable[[Path], T], build: Callable[[Path], None]) -> T | None:
        """Return what `load` makes of the entry, a folder; one that is absent or damaged is built first.

        Of several processes that ask at once, one builds and the others wait for it.

        Args:
            load: reads an entry; it raises `Damaged` where that is not whole.
            build: writes the files of an entry into the folder that it is given.

        Returns:
            None where the folder cannot be used: a warning states why, once.
        """
        entry = self.path(key)
        try:
            self._make()
            # Before the lock: a cache on a read-only file system still answers.
            if (kept := self._loaded(entry, load)) is not None:
                return kept
            with waiting(self._lock(key)):
                if (kept := self._loaded(entry, load)) is not None:
                    return kept
                self._build(entry, build)
                built = load(entry)
            self._tidy(entry)
            return built
        except (_Unusable, OSError) as error:
            self._warn(error)
            return None

    def _build(self, entry: Path, build: Callable[[Path], None]) -> None:
        for torn in self.root.glob(f".{entry.name}.*"):
            shutil.rmtree(torn, ignore_errors=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=self.root))
        try:
            build(beside)
            for file in beside.iterdir():
                sync(file)
            _remove(entry)
            os.replace(beside, entry)
            sync(self.root)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _loaded(self, entry: Path, load: Callable[[Path], T]) -> T | None:
        if not entry.exists():
            return None
        try:
            value = load(entry)
        except Damaged as error:
            # It may have been removed meanwhile, by a process that tidies.
            if not error.absent:
                warnings.warn(f"{error.path} is not used: {error.reason}. It is made again.", stacklevel=4)
            return None
        with contextlib.suppress(OSError):
            os.utime(entry)
        return value

    def _make(self) -> None:
        make_private(self.root)
        self._require_trust()

    def _require_trust(self) -> None:
        if reason := distrust(self.root):
            raise _Unusable(f"{reason}: what it holds may be a stranger's")

    def _lock(self, key: str) -> Path:
        return self.root / f"{key}.lock"

    def _warn(self, error: Exception) -> None:
        if self.root in _warned:
            return
        _warned.add(self.root)
        reason = str(error)
        if isinstance(error, OSError):
            reason = cause(error.errno, self.root)[0] or error.strerror or str(error)
        warnings.warn(
            f"The cache at {self.root} cannot be used ({reason}); {self.without}. "
            "Point $RESIDUA_CACHE at a folder of yours with space.",
            stacklevel=4,
        )

    def _tidy(self, mine: Path) -> None:
        """Remove what killed builders left, and the least recently used entries beyond the limit; never `mine`."""
        with contextlib.suppress(OSError):
            whole, torn = self._entries()
            for path, key in torn:
                # A file is written without a lock, and in seconds.
                if path.is_file() and time.time() - path.stat().st_mtime < _FRESH_SECONDS:
                    continue
                with self._unless_in_use(key) as free:
                    if free:
                        _remove(path)
            excess = sum(size for _, size, _, _ in whole) - self.limit
            for _, size, path, key in sorted(whole):
                if excess <= 0:
                    break
                if path == mine:
                    continue
                with self._unless_in_use(key) as free:
                    # Whoever has the files mapped keeps them: the system frees them afterwards.
                    if free:
                        _remove(path)
                        self._lock(key).unlink(missing_ok=True)
                        excess -= size

    def _entries(self) -> tuple[list[tuple[int, int, Path, str]], list[tuple[Path, str]]]:
        """Return (time of last use, size, path, key) of the whole entries, and (path, key) of what was left."""
        ours = re.compile(rf"({_KEY}){re.escape(self.suffix)}|\.({_KEY}){re.escape(self.suffix)}\..+")
        whole, torn = [], []
        for path in self.root.iterdir():
            # What has a different name was not put there by a cache.
            if (match := ours.fullmatch(path.name)) is None:
                continue
            if match[2]:
                torn.append((path, match[2]))
                continue
            with contextlib.suppress(OSError):
                status = path.stat()
                size = sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else status.st_size
                whole.append((status.st_mtime_ns, size, path, match[1]))
        return whole, torn

    @contextlib.contextmanager
    def _unless_in_use(self, key: str) -> Iterator[bool]:
        """Yield whether no process builds the entry; its lock is held meanwhile."""
        if not self._lock(key).exists():
            yield True
            return
        with if_free(self._lock(key)) as free:
            yield free


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            entry.unlink(missing_ok=True)
