"""How many threads decode."""

from __future__ import annotations

import os


def default_workers() -> int:
    """Return the number of decoding threads: one per processor that this process may use, at most 16."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:
        usable = os.cpu_count() or 1
    return min(usable, 16)
