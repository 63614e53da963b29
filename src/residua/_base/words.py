"""Phrases and notations that many messages share, and how the running program words them."""

from __future__ import annotations

import contextlib
import html
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence

# C0, DEL, C1, and what reorders or breaks a line: U+2028, U+2029 and the directional marks.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_current: Callable[[str], str] = str


def some(names: Iterable[str], most: int = 10, separator: str = ", ") -> str:
    """Return "a, b and 3 more": at most `most` names."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + more


def agree(count: int, one: str, many: str) -> str:
    """Return the form of a word that goes with this count: `one` for 1, else `many`."""
    return one if count == 1 else many


def counted(count: int, one: str, many: str = "") -> str:
    """Return "1 file" or "1,200 files": a count and its noun, whose plural ends in "s" unless `many` is given."""
    return f"{count:,} {agree(count, one, many or one + 's')}"


def compact(names: Iterable[str]) -> list[str]:
    """Return dotted names, all of them, in a shell's brace notation: `layer1.{0-2}.bn1.{weight,bias}`.

    The results expand to exactly the given names, each of them once.
    """
    rows: dict[tuple[tuple[str, ...], ...], None] = {
        tuple((part,) for part in name.split(".")): None for name in dict.fromkeys(names)
    }
    for column in range(max((len(row) for row in rows), default=0)):
        merged: dict[object, list[tuple[tuple[str, ...], ...]]] = {}
        for row in rows:
            # Counted from the end, since what ends alike belongs together: weight and bias of one layer.
            at = len(row) - 1 - column
            merged.setdefault((row[:at], row[at + 1 :]) if at >= 0 else row, []).append(row)
        rows = {}
        for alike in merged.values():
            at = len(alike[0]) - 1 - column
            if at >= 0:
                choices = tuple(dict.fromkeys(choice for row in alike for choice in row[at]))
                rows[(*alike[0][:at], choices, *alike[0][at + 1 :])] = None
            else:
                rows[alike[0]] = None
    return [".".join(_choice(part) for part in row) for row in rows]


def _choice(parts: tuple[str, ...]) -> str:
    """Return one part of a name: as it is, or the choices in braces, runs of numbers as `0-5`."""
    if len(parts) == 1:
        return parts[0]
    if not all(re.fullmatch("0|[1-9][0-9]*", part) for part in parts):
        return "{" + ",".join(parts) + "}"
    runs: list[list[int]] = []
    for number in sorted(map(int, parts)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "{" + ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) + "}"


def visible(text: str) -> str:
    """Escape control characters, which the name of a file or a class may carry into a terminal."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def wrapped(text: str, width: int | None) -> str:
    """Return a line broken between words where it is longer than `width`; None leaves it as it is.

    Lines that go on are indented by two characters more than the first.
    """
    if width is None or len(text) <= width:
        return text
    # Broken here and not by textwrap, which changes runs of spaces within a line.
    margin = " " * (min(len(text) - len(text.lstrip()), width // 2) + 2)
    lines, line = [], ""
    for word in re.findall(r"\s*\S+", text):
        if line.strip() and len(line) + len(word) > width:
            lines.append(line)
            line = margin + word.lstrip()
        else:
            line += word
    return "\n".join([*lines, line])


class _Short(reprlib.Repr):
    """Shows the beginning of what is long; a number of thousands of digits has no repr at all."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 20
        self.maxstring = self.maxother = 100

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if abs(value) < 10**40 else "a number of more than 40 digits"


def quoted(value: object, most: int = 200) -> str:
    """Return `repr(value)` for a message, cut where it is long."""
    text = _SHORT.repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


_SHORT = _Short()


def clock(seconds: float) -> str:
    """Return a duration as 0:42, 12:05 or 3:00:07."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


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


def html_table(title: str, rows: Iterable[Sequence[object]]) -> str:
    """Return a small table for a notebook; text is escaped, control characters are shown."""

    def cells(row: Sequence[object]) -> str:
        return "".join(f'<td style="text-align:left">{html.escape(visible(str(cell)))}</td>' for cell in row)

    lines = "".join(f"<tr>{cells(row)}</tr>" for row in rows)
    return f"<table><caption>{html.escape(visible(title))}</caption>{lines}</table>"
