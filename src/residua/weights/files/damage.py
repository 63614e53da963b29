"""What the readers raise inside; whoever knows the path turns it into an `InputError`."""

from __future__ import annotations


class Damaged(ValueError):
    """Bytes that are not what their format says; the message says which."""
