"""How many threads decode."""

from __future__ import annotations

import os

from residua._base.subprocesses import processors


def default_workers() -> int:
    """Return the number of decoding threads: one per processor that this process may use, at most 16.

    Processes that torchrun starts on one host share its processors.
    """
    sharing = os.environ.get("LOCAL_WORLD_SIZE", "")
    return min(max(1, processors() // (int(sharing) if sharing.isdecimal() and int(sharing) else 1)), 16)
