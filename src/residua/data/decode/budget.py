"""Memory for pixels in flight: one budget for all threads of the process that decode."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_BYTES = 1 << 30
"""What all images that are being decoded may take together; one that needs more by itself is refused."""

FREE_BYTES = 4 << 20
"""Images below this are not counted: even 16 of them are a small part of the budget."""


_TRIM_BYTES = 64 << 20  # malloc_trim walks the whole heap: only large leases end with it


class Budget:
    """A number of bytes that threads share, first come, first served.

    Order matters: without it, a stream of small images would keep a large one waiting for ever.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self.reset()

    def reset(self) -> None:
        """Forget all leases, as a forked child must: the threads that hold them are not in it."""
        self.taken = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()
        self._own = threading.local()

    @contextmanager
    def lease(self, size: int) -> Iterator[None]:
        """Count `size` bytes within the block; wait until they are free, or until nothing else is counted."""
        self._take(size)
        try:
            yield
        finally:
            if getattr(self._own, "kept", None) is None:
                self._give_back(size)
            else:
                self._own.kept += size

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Count what this thread leases within the block until its end: pixels outlive their decoding."""
        if getattr(self._own, "kept", None) is not None:
            yield
            return
        self._own.kept = 0
        try:
            yield
        finally:
            size, self._own.kept = self._own.kept, None
            if size:
                self._give_back(size)

    def _take(self, size: int) -> None:
        ticket = object()
        # A thread that waited while it held something could wait for a thread that waits for it.
        holds = bool(getattr(self._own, "kept", None))
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: holds or (self._waiting[0] is ticket and self._fits(size)))
                self.taken += size
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _give_back(self, size: int) -> None:
        if size >= _TRIM_BYTES:
            _return_freed_memory()
        with self._changed:
            self.taken -= size
            self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return self.taken == 0 or self.taken + size <= self.limit


def _return_freed_memory() -> None:
    """Give what is freed back to the system; Pillow's blocks of 16 MB would stay with the C library, by hundreds."""
    with contextlib.suppress(AttributeError):  # Only glibc has this function.
        ctypes.CDLL(None).malloc_trim(0)


BUDGET = Budget()
os.register_at_fork(after_in_child=BUDGET.reset)
