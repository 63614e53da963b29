"""What others read: addresses without secrets, and files without the folders of the machine that they lie on.

Reports, bundles, cards and pages travel. Whatever they name goes through a function of this module; `public` in a name
elsewhere is short for that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

# A `Path` of an address has one slash left. Two letters at least, since C:/ is a drive.
_SCHEME = re.compile("([A-Za-z][A-Za-z0-9+.-]+):/(/?)")
# A path from the root, outside words and addresses; a space ends it.
_ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:[^\s/:;,'\"()]+/)+(?P<last>[^\s/:;,'\"()]*)")


def is_address(source: str | os.PathLike[str]) -> bool:
    """Return whether text or a path is an address, SCHEME://…, of whatever scheme.

    A path keeps one of the two slashes. Where a file or folder of that name exists, it is a path.
    """
    text = os.fspath(source)
    match = _SCHEME.match(text)
    return match is not None and (bool(match[2]) or not os.path.exists(text))


def public_address(url: str) -> str:
    """Return an address without what may be secret: user and password, query, and fragment.

    Signed addresses carry their signature in the query. A fragment that is a hash (#sha256=HEX) stays. Text that is no
    address comes back as it is.
    """
    if not is_address(url):
        return url
    address, _, fragment = url.partition("#")
    scheme, _, rest = address.partition("?")[0].partition(":/")
    rest = rest.removeprefix("/")
    host, slash, path = rest.partition("/")
    kept = f"#{fragment}" if re.fullmatch("sha256=[0-9A-Fa-f]*", fragment) else ""
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{kept}"


def public_name(source: str | os.PathLike[str]) -> str:
    """Return the name of data, of weights or of a run: of an address all but its secrets, of a path the last part.

    The last part of "." is the name of the folder that it stands for; no name stays none.
    """
    text = os.fspath(source)
    if not text or is_address(text):
        return public_address(text)
    return Path(text).name or Path(text).absolute().name or text


def public_path(source: str | os.PathLike[str]) -> str:
    """Return a relative path as it was typed, an absolute one by its last part, an address without its secrets."""
    return public_name(source) if Path(source).is_absolute() else public_address(os.fspath(source))


def public_text(text: str, known: Iterable[str | Path | None] = ()) -> str:
    """Return a message with every absolute path by its last part.

    Args:
        text: such as the reason of a failure.
        known: paths that may occur in it; they are found even where they contain spaces.
    """
    paths = {Path(path).absolute() for path in known if path is not None}
    for path in sorted({*paths, *(path.resolve() for path in paths)}, key=lambda path: -len(str(path))):
        text = text.replace(str(path), path.name)
    return _ABSOLUTE.sub(lambda match: match["last"] or "…", text)


def public_within(text: str, folders: Iterable[str], name: str) -> str:
    """Return a text with the files of some folders named relative to them, and the folders themselves as `name`."""
    roots = "|".join(re.escape(folder) for folder in folders if Path(folder).name)
    if not roots:
        return text
    return re.sub(rf"(?<![\w./-])(?:{roots})(/|(?![\w.-]))", lambda match: "" if match[1] else name, text)
