"""Pages and documents travel: they name files without the folders of the machine that they were made on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from residua._base.http import public_address

# A path from the root, outside words and addresses; a space ends it.
_ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:[^\s/:;,'\"()]+/)+(?P<last>[^\s/:;,'\"()]*)")


def last_part(path: str | Path) -> str:
    """Return a relative path as it was typed, an absolute one by its last part, an address without its secrets."""
    return Path(path).name if Path(path).is_absolute() else public_address(str(path))


def name_of(data: str) -> str:
    """Return a data set's name: of a folder the last part, of an address all but its secrets."""
    return public_address(data) if "://" in data else Path(data).name or Path(data).absolute().name or data


def without_places(text: str, known: Iterable[str | Path | None] = ()) -> str:
    """Return a message with every absolute path by its last part.

    Args:
        text: such as the reason of a failure.
        known: paths that may occur in it; they are found even where they contain spaces.
    """
    places = {Path(path).absolute() for path in known if path is not None}
    for path in sorted({*places, *(path.resolve() for path in places)}, key=lambda path: -len(str(path))):
        text = text.replace(str(path), path.name)
    return _ABSOLUTE.sub(lambda match: match["last"] or "…", text)
