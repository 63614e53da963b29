"""Memory for pixels in flight: one budget for all threads of the process that decode."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_BYTES = 1 << 30
"""What all images that are being decoded may take together. A larger one is decoded while no other one is."""

_FREE_BYTES = 4 << 20
"""Images below this are not counted: even 16 of them are a small part of the budget."""


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

    @contextmanager
    def lease(self, size: int) -> Iterator[None]:
        """Hold `size` bytes within the block; wait until they are free, or until nothing else is held."""
        if size < _FREE_BYTES:
            yield
            return
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._fits(size))
                self.taken += size
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.taken -= size
                self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return self.taken == 0 or self.taken + size <= self.limit


BUDGET = Budget()
os.register_at_fork(after_in_child=BUDGET.reset)
