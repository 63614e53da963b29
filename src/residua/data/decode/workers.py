"""How many threads decode."""

from __future__ import annotations

from residua._base.subprocesses import processors


def default_workers() -> int:
    """Return the number of decoding threads: one per processor that this process may use, at most 16."""
    return min(processors(), 16)
