"""What the readers raise inside; whoever knows the path turns it into an `InputError`."""

from __future__ import annotations


class FormatError(ValueError):
    """Bytes that break the rules of their format; the message names the rule."""
