"""Messages as the running program words them: the command turns field names into its flags."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

_current: Callable[[str], str] = str


@contextlib.contextmanager
def wording(render: Callable[[str], str]) -> Iterator[None]:
    """Word every message inside with `render`, in all threads: one process runs one command."""
    global _current
    before, _current = _current, render
    try:
        yield
    finally:
        _current = before


def worded(text: str) -> str:
    """Return a message in the program's words; a library's message stays as it is."""
    return _current(text)
