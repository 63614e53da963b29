"""Shards fetched from elsewhere: kept on this machine, fetched ahead, the least recently used removed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from residua._base.errors import InputError
from residua._base.places import cache_root
from residua.data.shards.index import Shard

LIMIT_BYTES = 40 << 30
"""Shards are removed, the least recently used first, until they are not larger together than this."""
_FREE_BYTES = 2 << 30  # left on the disk for others
_AHEAD = 2  # threads that fetch what is read next


class _Fetches(Protocol):
    def fetch(self, file: Shard, folder: Path) -> Path: ...


@dataclass(frozen=True)
class FetchedFolder:
    """Where shards are kept: a folder for each address, in the cache of this machine."""

    name: str = "shards"

    @property
    def root(self) -> Path:
        """The folder of all."""
        return cache_root() / self.name

    def of(self, url: str) -> Path:
        """Return the folder for an address."""
        return self.root / hashlib.sha256(url.encode()).hexdigest()[:32]


FETCHED_FOLDER = FetchedFolder()


class FetchedShards:
    """Shards behind an address, each fetched whole when it is first asked for.

    A shard that could not be had is not asked for again by the same process: its images fail at once.
    """

    def __init__(self, url: str, source: _Fetches, folder: Path) -> None:
        self._url, self._source, self._folder = url, source, folder
        self._begin()

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._whole: set[str] = set()
        self._failed: dict[str, InputError] = {}
        self._waiting: deque[Shard] = deque()
        self._threads: list[threading.Thread] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"_url": self._url, "_source": self._source, "_folder": self._folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def path(self, shard: Shard) -> Path:
        """See `ShardFiles.path`."""
        path = self._folder / shard.url
        with self._guard:
            lock = self._locks.setdefault(shard.url, threading.Lock())
        with lock:
            if shard.url in self._failed:
                raise self._failed[shard.url]
            if shard.url not in self._whole or not path.exists():
                try:
                    self._make_room(shard)
                    self._source.fetch(shard, self._folder)
                except InputError as error:
                    self._failed[shard.url] = error
                    raise
                self._whole.add(shard.url)
        with contextlib.suppress(OSError):
            os.utime(path)
        return path

    def where(self, shard: Shard) -> str:
        """See `ShardFiles.where`."""
        return f"{self._url}/{shard.url}"

    def prepare(self, shards: list[Shard]) -> None:
        """See `ShardFiles.prepare`: what waits from an earlier call and is not among them is dropped."""
        with self._guard:
            self._waiting = deque(shard for shard in shards if shard.url not in self._whole)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            # They end with the process: what is fetched in part is continued by the next one.
            new = [threading.Thread(target=self._ahead, daemon=True) for _ in range(_AHEAD - len(self._threads))]
            self._threads += new
        for thread in new:
            thread.start()

    def _ahead(self) -> None:
        while True:
            with self._guard:
                if not self._waiting:
                    return
                shard = self._waiting.popleft()
            # Whoever reads an image of it gets the reason.
            with contextlib.suppress(InputError, OSError):
                self.path(shard)

    def _make_room(self, shard: Shard) -> None:
        """Remove the shards that were used longest ago, of this address and of others, until `shard` has room."""
        held: list[tuple[int, int, Path]] = []
        for path in (path for kind in ("tar", "parquet") for path in self._folder.parent.glob(f"*/*.{kind}")):
            with contextlib.suppress(OSError):
                status = path.stat()
                held.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in held)
        self._folder.mkdir(parents=True, exist_ok=True)
        limit = min(LIMIT_BYTES, total + shutil.disk_usage(self._folder).free - _FREE_BYTES)
        for _, size, path in sorted(held):
            if total + shard.filesize <= limit:
                return
            # A shard that another thread has opened stays readable until it is closed.
            with contextlib.suppress(OSError):
                path.unlink()
                self._whole.discard(path.name)
                total -= size
