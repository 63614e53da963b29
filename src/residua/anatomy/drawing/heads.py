"""Side heads: classifiers that branch off in the middle of a network, above its row."""

from __future__ import annotations

from collections.abc import Sequence

from residua._base.words import agree
from residua.anatomy.drawing.canvas import arrow_head, box, number, path, short, text
from residua.anatomy.drawing.picture import Head
from residua.anatomy.drawing.row import MARGIN, Row
from residua.figures.widths import width_of

# Sizes of the drawing, pixels.
_LEVEL, _BLOCK, _GAP = 50.0, 12.0, 8.0


def heads_height(heads: Sequence[Head]) -> float:
    """Return the height that side heads take above the row."""
    return _LEVEL * len(heads)


def draw_heads(heads: Sequence[Head], row: Row, top: float) -> str:
    """Return the side heads, each on its own level: the first to branch off is the highest."""
    return "".join(_drawn(head, row, top + _LEVEL * level) for level, head in enumerate(heads))


def _drawn(head: Head, row: Row, top: float) -> str:
    source, bottom = row.places.get(head.source, (MARGIN, row.bottom))
    middle, height = top + 26, 24.0
    x = source + 22
    parts = [
        path(
            f"M{number(source)} {number(bottom)}L{number(source)} {number(middle)}L{number(x - 4)} {number(middle)}",
            "flow",
        )
    ]
    parts.append(arrow_head(x, middle))
    x += 4
    for block in head.blocks:
        shape = "×".join(map(str, block.layers[-1].output))
        parts.append(box(x, middle - height / 2, _BLOCK, height, block.kind, 2, title=f"{block.name}: {shape}"))
        x += _BLOCK + _GAP
    label = f"{head.name}: {short(head.params)} params, {short(head.macs)} MACs"
    classes = head.blocks[-1].channels if head.blocks else 0
    end = f"{label} → {classes} {agree(classes, 'output', 'outputs')}"
    width = width_of(end, 12)
    # To the left of the way up where the right end of the page is near.
    if x + width > row.width - MARGIN:
        parts.append(text(source - 10, middle + 4, end, "small end"))
    else:
        parts.append(text(x, middle + 4, end, "small"))
    return "".join(parts)
