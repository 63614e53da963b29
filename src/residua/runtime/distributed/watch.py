"""Watching the other processes of a run: one that fails or falls silent ends all, also those that wait for it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass

from torch._C._distributed_c10d import Store  # torch.distributed hands it on without a type

from residua._base.errors import ResiduaError
from residua._base.words import worded

_EVERY_SECONDS = 1.0  # a sign of life
_SILENT_SECONDS = 20.0  # without one: torchrun takes 30 more to kill, and all are to end within a minute
_GRACE_SECONDS = 5.0  # for a process to end by itself; one that waits for a lost host cannot
_KEY = "failed"


@dataclass(frozen=True)
class Failure:
    """How a run of several processes ended early: rank, kind of the error, its message and exit code."""

    rank: int
    kind: str
    message: str
    code: int


class EndedElsewhere(ResiduaError):
    """Another process has ended the run, and has stated why; `exit_code` is that process's."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"Process {failure.rank} ended the run: {failure.message}")
        self.failure, self.exit_code = failure, failure.code

    def __reduce__(self) -> tuple[type[EndedElsewhere], tuple[Failure]]:
        return type(self), (self.failure,)


class Watch:
    """Signs of life and the first failure, kept in a store that all processes reach.

    A thread writes a sign of life each second and reads that of the next process. Where a failure is recorded and this
    process has not ended soon after, the thread ends it. The main thread may wait in a call that never returns.

    Args:
        store: for this object alone.
        rank: of this process.
        count: of all.
    """

    def __init__(self, store: Store, rank: int, count: int) -> None:
        self._store, self._rank, self._next, self._count = store, rank, (rank + 1) % count, count
        self._left = threading.Event()
        threading.Thread(target=self._watch, name="residua-watch", daemon=True).start()

    def fail(self, failure: Failure) -> Failure:
        """Record a failure unless there is one; return the first."""
        try:
            mine = json.dumps(asdict(failure))
            return _read(self._store.compare_set(_KEY, "", mine))
        except RuntimeError:  # the store is lost with its host
            return failure

    def failure(self, seconds: float = 0.0) -> Failure | None:
        """Return the first failure, waiting a moment for it; None where there is none."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self._store.check([_KEY]):
                    return _read(self._store.get(_KEY))
            except RuntimeError:
                return None
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.1)

    def leave(self, *, last: bool) -> None:
        """Stop watching: this process is done, or ends by itself.

        Args:
            last: wait a moment for the others, where the store ends with this process: they may not have read it yet.
        """
        self._left.set()
        with contextlib.suppress(RuntimeError):
            gone = self._store.add("left", 1)
            deadline = time.monotonic() + 2 * _GRACE_SECONDS
            while last and gone < self._count and time.monotonic() < deadline:
                time.sleep(0.05)
                gone = self._store.add("left", 0)

    def _watch(self) -> None:
        sign, heard, lost = "", time.monotonic(), None
        while not self._left.wait(_EVERY_SECONDS):
            now = time.monotonic()
            try:
                self._store.set(f"alive/{self._rank}", str(now))
                if self._store.check([_KEY]):
                    self._end(_read(self._store.get(_KEY)))
                    return
                key = f"alive/{self._next}"
                if self._store.check([key]) and (latest := self._store.get(key).decode()) != sign:
                    sign, heard = latest, now
                lost = None
            except RuntimeError:
                lost = lost or now
                if now - lost > _SILENT_SECONDS:
                    self._give_up("the host that holds the store of all processes does not answer")
                continue
            if now - heard > _SILENT_SECONDS:
                self._give_up(f"process {self._next} of {self._count} has given no sign of life for a while")

    def _give_up(self, what: str) -> None:
        message = f"The run stops: {what}. Its last checkpoint stays: go on with resume=True"
        mine = Failure(self._rank, "Silence", message, 1)
        first = self.fail(mine)
        if first == mine and not self._left.is_set():
            print(f"residua: {worded(message)}", file=sys.stderr, flush=True)
        self._end(first)

    def _end(self, failure: Failure) -> None:
        if not self._left.wait(_GRACE_SECONDS):
            self.leave(last=False)
            os._exit(failure.code)


def _read(text: bytes) -> Failure:
    return Failure(**json.loads(text))
