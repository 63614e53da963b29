"""Tables for people: aligned columns, in panels below each other where a terminal is too narrow for all of them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence

from residua._base.console import terminal_width
from residua._base.words import visible

_GAP = "  "
_LEAST = 16  # characters that a column of text keeps, if it wraps at all
_MARK = "…"  # before the columns that go on


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print aligned columns; those in `right` are right-aligned. No word and no number is broken or left out.

    In a file or a pipe every row is one line. On a terminal that is too narrow, columns of text wrap between words.
    Where that is not enough, the columns that do not fit follow below, each time beside the first column.
    """
    lines = [[visible(cell) for cell in line] for line in (header, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    most = terminal_width(sys.stdout)
    if most is None or _total(widths) <= most:
        panels = [list(range(len(widths)))]
    elif (narrow := _narrowed(lines, widths, right, most)) is not None:
        widths, panels = narrow, [list(range(len(widths)))]
    else:
        panels = _panels(widths, most)
    for number, panel in enumerate(panels):
        if number:
            print(f"\n{_MARK}")
        _print_panel(lines, [widths[at] for at in panel], panel, right)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _narrowed(
    lines: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[int], most: int
) -> list[int] | None:
    """Return widths at which columns of text wrap and all fit, or None where there are none."""
    least = list(widths)
    for at in range(1, len(widths)):
        if at not in right:
            words = max((len(word) for line in lines for word in line[at].split()), default=0)
            least[at] = min(widths[at], max(words, _LEAST))
    narrow, over = list(widths), _total(widths) - most
    for at in sorted(range(len(widths)), key=lambda at: least[at] - widths[at]):
        cut = min(over, widths[at] - least[at])
        narrow[at] -= cut
        over -= cut
    return narrow if over <= 0 else None


def _panels(widths: Sequence[int], most: int) -> list[list[int]]:
    """Return the columns of each panel; the first column stands in all of them."""
    panels, panel = [], [0]
    for at in range(1, len(widths)):
        if len(panel) > 1 and _total([widths[each] for each in (*panel, at)]) > most:
            panels.append(panel)
            panel = [0]
        panel = [*panel, at]
    return [*panels, panel]


def _print_panel(
    lines: Sequence[Sequence[str]], widths: Sequence[int], panel: Sequence[int], right: Sequence[int]
) -> None:
    for number, line in enumerate(lines):
        cells = [
            textwrap.wrap(line[at], width, break_long_words=False, break_on_hyphens=False)
            if len(line[at]) > width
            else [line[at]]
            for at, width in zip(panel, widths, strict=True)
        ]
        for level in range(max(map(len, cells))):
            texts = [cell[level] if level < len(cell) else "" for cell in cells]
            aligned = [
                text.rjust(width) if at in right else text.ljust(width)
                for text, at, width in zip(texts, panel, widths, strict=True)
            ]
            print(_GAP.join(aligned).rstrip())
        if number == 0:
            print(_GAP.join("-" * width for width in widths))
