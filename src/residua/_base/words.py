"""Phrases that many messages share."""

from __future__ import annotations

from collections.abc import Iterable


def some(names: Iterable[str], most: int = 10, separator: str = ", ") -> str:
    """Return "a, b and 3 more": at most `most` names."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + more
