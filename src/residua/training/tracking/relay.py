"""Calls of a tracker from a background thread of its own: an outage never stops training."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from residua.training.tracking.tracker import Tracker

WAITING = 1000
"""The most calls that wait for a tracker; further ones are left out."""
SECONDS = 30.0
"""The longest that the end of a run waits for a tracker."""
_ATTEMPTS = 3  # of a call that the tracker refuses while it takes others


_THREAD = "tracker "  # what the names of its threads begin with


def are_left_behind() -> bool:
    """Return whether a tracker still hangs that the end of its run has left."""
    return any(thread.name.startswith(_THREAD) for thread in threading.enumerate())


@dataclass
class _Call:
    method: str
    arguments: tuple[Any, ...]
    taken: Callable[[], None] | None
    attempts: int = 0


class Relay:
    """Passes calls on to a tracker, in their order.

    A call that fails waits, with all behind it, until the next one comes: a short outage loses nothing.

    Args:
        name: of the tracker, for warnings.
        tracker: that is called.
        warn: shows a sentence; called from both threads: at the first outage, and at the end where calls were missed.
        waiting: the most calls that wait.
    """

    def __init__(self, name: str, tracker: Tracker, warn: Callable[[str], None], waiting: int = WAITING) -> None:
        self.name = name
        self._tracker, self._warn = tracker, warn
        self._queue: queue.Queue[_Call | None] = queue.Queue(waiting)
        self._pending: deque[_Call] = deque()
        self._most, self._warned, self._lock = waiting, False, threading.Lock()
        self._calls = self._taken = self._left_out = 0
        self._closed = False
        # A daemon: a tracker that hangs must not keep the process.
        self._thread = threading.Thread(target=self._work, name=f"{_THREAD}{name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many calls the tracker has missed: those left out, and after the end also those that still wait."""
        return self._calls - self._taken if self._closed else self._left_out

    def call(self, method: str, *arguments: Any, taken: Callable[[], None] | None = None) -> None:
        """Let the tracker's method be called; return at once.

        Args:
            method: its name.
            arguments: of it.
            taken: called once the tracker has taken it, from its thread.
        """
        self._calls += 1
        try:
            self._queue.put_nowait(_Call(method, arguments, taken))
        except queue.Full:
            self._left_out += 1
            self._outage("it does not keep up")

    def close(self, seconds: float = SECONDS) -> None:
        """Wait until all calls are done, for at most `seconds`; leave a tracker that takes longer.

        What it has missed is stated as a warning.
        """
        deadline = time.monotonic() + seconds
        try:
            self._queue.put(None, timeout=seconds)
            self._thread.join(max(0.0, deadline - time.monotonic()))
        except queue.Full:
            pass
        self._closed = True
        missed = f"has missed {self.lost} of the run's calls"
        if self._thread.is_alive():
            self._warn(f"{self.name} has not answered for {seconds:.3g} seconds and {missed}")
        elif self.lost:
            self._warn(f"{self.name} {missed}")

    def _work(self) -> None:
        while True:
            call = self._queue.get()
            if call is not None:
                self._pending.append(call)
                if len(self._pending) > self._most:
                    # The oldest after `start`, without which no other call works.
                    del self._pending[1]
                    self._left_out += 1
                self._pass_on()
                continue
            for _ in range(_ATTEMPTS):
                self._pass_on()
            return

    def _pass_on(self) -> None:
        """Call what waits, up to the first call that fails."""
        while self._pending:
            call = self._pending[0]
            try:
                getattr(self._tracker, call.method)(*call.arguments)
            except BaseException as error:
                call.attempts += 1
                self._outage(f"{type(error).__name__}: {error}")
                if call.method == "start" or call.attempts < _ATTEMPTS:
                    return
                self._left_out += 1
            else:
                self._taken += 1
                if call.taken is not None:
                    call.taken()
            self._pending.popleft()

    def _outage(self, reason: str) -> None:
        with self._lock:
            # After the end, what was missed has been stated.
            first, self._warned = not (self._warned or self._closed), True
        if first:
            short = " ".join(reason.split())[:300]
            self._warn(f"{self.name} does not take what the run sends ({short}); training goes on")
