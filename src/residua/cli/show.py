"""Printing results: tables for people, one JSON document for programs."""

from __future__ import annotations

import codecs
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from residua._base.console import terminal_width
from residua._base.errors import InputError
from residua._base.plain import plain
from residua._base.words import agree, counted, visible, worded, wrapped

_NOT_ASCII = re.compile("[^\x00-\x7e]")
# DEL, C1, marks of direction, and halves of pairs, which UTF-8 has no bytes for.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

Switch = Annotated[bool, Parameter(negative=())]


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; NaN and infinity are null."""
    print(printable(json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False)))


def printable(text: str) -> str:
    """Return JSON text as standard output can carry it: what its encoding lacks, and control characters, escaped.

    Only strings hold such characters, and there `\\u00e9` is the same to every JSON reader.
    """
    try:
        unicode = codecs.lookup(sys.stdout.encoding).name.startswith("utf")
    except (LookupError, TypeError, AttributeError):
        unicode = False
    return (_UNSAFE if unicode else _NOT_ASCII).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def answered(good: int, bad: int) -> int:
    """Report how many files gave no answer, and return the exit code: 1 when some did not.

    Raises:
        InputError: none did.
    """
    if bad and not good:
        raise InputError(
            f"{bad} {'path' if bad == 1 else 'paths'}, named above, of which none gave an answer",
            "image files that decode completely, or folders with some",
            "Fix what is named above, or give others",
        )
    if bad:
        note(
            f"residua: {bad} of {counted(good + bad, 'file')} gave no answer; "
            f"{agree(bad, 'it is', 'they are')} named above."
        )
    return 1 if bad else 0


def check_target(path: Path | None, suffix: str = "") -> None:
    """Refuse a file that cannot be written, before the work that it is to hold.

    Args:
        suffix: what its name has to end in; "" for anything.

    Raises:
        InputError: it is a folder, or would stand in one that does not exist; its name ends in something else; it is
            a page of others.
    """
    if path is None:
        return
    if suffix and path.suffix.lower() != suffix:
        raise InputError(
            f"{path}",
            f"a file whose name ends in {suffix}, which is what is written",
            f"Use {path.with_suffix(suffix)}",
        )
    if suffix == ".html":
        # Here, since most commands write no page.
        from residua.figures.pages import check_page

        check_page(path)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"{path}", "a file in a folder that exists", "Create the folder, or give another path")
    try:
        tempfile.TemporaryFile(dir=path.absolute().parent).close()
    except OSError as error:
        raise InputError(
            f"{path}, beside which no file can be written ({error.strerror})",
            "a file in a folder that can be written to",
            "Give another path",
        ) from error


def say(text: str = "", *, flush: bool = False) -> None:
    """Print lines on stdout; control characters within a line are escaped. A terminal's lines end between words."""
    width = terminal_width(sys.stdout)
    print("\n".join(wrapped(visible(line), width) for line in text.split("\n")), flush=flush)


def note(text: str) -> None:
    """Print one line for people on stderr, its field names as flags."""
    print(wrapped(visible(worded(text)), terminal_width(sys.stderr)), file=sys.stderr)


def percent(rate: float) -> str:
    """Return 0.98123 as "98.12%"."""
    return f"{100 * rate:.2f}%"
