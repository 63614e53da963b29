"""Networks beside each other from top to bottom, aligned by resolution, as He 2015 draws them in figure 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from residua.anatomy.anatomy import Anatomy
from residua.anatomy.drawing.canvas import arrow_head, box, document, number, path, short, text
from residua.anatomy.drawing.row import NAMES, SHORTCUTS, arc
from residua.anatomy.drawing.steps import Column, Step, column
from residua.figures.widths import width_of

# Sizes of the drawing, pixels.
_MARGIN, _LEGEND = 48.0, 46.0
_STEP, _GAP, _BETWEEN = 19.0, 13.0, 14.0
_WAY, _APART, _LEAST = 34.0, 44.0, 190.0
_HEADER = 168.0
# Resolutions this close stand beside each other: convolutions without padding remove a pixel or two.
_NEAR = 0.85


def draw_columns(anatomies: Sequence[Anatomy]) -> str:
    """Return the picture of several networks as an SVG document, in the order given."""
    columns = [column(anatomy) for anatomy in anatomies]
    bands = _bands(columns)
    labels = [" – ".join(f"{side}×{side}" for side in dict.fromkeys((band[0], band[-1]))) for band in bands]
    left = _MARGIN + max(width_of(label, 13, bold=True) for label in [*labels, "output"]) + 30
    widths = [_width(each) for each in columns]
    lefts = [left + sum(widths[:i]) + i * (_WAY + _APART) for i in range(len(columns))]
    page = lefts[-1] + widths[-1] + _WAY + _MARGIN
    tops, bottom = _tops(columns, bands)
    parts = [text(_MARGIN, _HEADER - 12, "output", "small")]
    for label, (top, _) in zip(labels, tops, strict=True):
        parts.append(path(f"M{number(_MARGIN)} {number(top)}L{number(page - _MARGIN)} {number(top)}", "rule"))
        parts.append(text(_MARGIN, top + _BETWEEN / 2 + _STEP - 5, label, "head"))
    largest = {key: max(getattr(each, key) for each in columns) for key in ("params", "macs")}
    for each, x, width in zip(columns, lefts, widths, strict=True):
        parts.append(_header(each, x, width, largest))
        parts.append(_drawn(each, x, width, _heights(each, bands, [top for top, _ in tops])))
    legend, bottom = _legend(columns, bottom + _LEGEND / 2, page)
    names = ", ".join(anatomy.name for anatomy in anatomies)
    return document([*parts, legend], page, bottom + 26, f"{names}, layer by layer, beside each other")


def _width(each: Column) -> float:
    """Return the width of a column's boxes: no label reaches over one, and the name not into the next column."""
    labels = [width_of(step.label, 11, bold=True) + 20 for step in each.steps]
    return max(_LEAST, width_of(each.anatomy.name, 19, bold=True) - _WAY, *labels)


def _bands(columns: Sequence[Column]) -> list[list[int]]:
    """Return the resolutions of all networks from the largest down, those that stand beside each other together."""
    bands: list[list[int]] = []
    for side in sorted({step.side for each in columns for step in each.steps}, reverse=True):
        if bands and side > 1 and side / bands[-1][0] >= _NEAR:
            bands[-1].append(side)
        else:
            bands.append([side])
    return bands


def _places(each: Column, bands: Sequence[Sequence[int]]) -> list[int]:
    """Return the band of each step; a network that grows again stays in the band that it has reached."""
    places: list[int] = []
    for step in each.steps:
        own = next(index for index, band in enumerate(bands) if step.side in band)
        places.append(max([own, *places[-1:]]))
    return places


def _tops(columns: Sequence[Column], bands: Sequence[Sequence[int]]) -> tuple[list[tuple[float, int]], float]:
    """Return for each band its upper edge and its number of steps, and the lower edge of the last."""
    tops, y = [], _HEADER
    counts = [_places(each, bands) for each in columns]
    for index in range(len(bands)):
        most = max(places.count(index) for places in counts)
        tops.append((y, most))
        y += most * (_STEP + _GAP) - _GAP + 2 * _BETWEEN
    return tops, y


def _heights(each: Column, bands: Sequence[Sequence[int]], tops: Sequence[float]) -> list[float]:
    """Return the upper edge of each step."""
    heights: list[float] = []
    places = _places(each, bands)
    for index, position in enumerate(places):
        before = places[:index].count(position)
        heights.append(tops[position] + _BETWEEN + before * (_STEP + _GAP))
    return heights


def _header(each: Column, x: float, width: float, largest: dict[str, int]) -> str:
    anatomy = each.anatomy
    parts = [text(x, 56, anatomy.name, "big"), text(x, 76, anatomy.paper.partition(",")[0], "small")]
    y = 98.0
    for key, name in (("params", "parameters"), ("macs", "MACs")):
        value, whole = getattr(each, key), getattr(anatomy, key)
        share = value / largest[key] if largest[key] else 0.0
        beside = f", {short(whole - value)} not drawn" if whole != value else ""
        parts += [text(x, y, f"{short(value)} {name}{beside}", "tiny"), box(x, y + 5, width, 5, "bar", 2)]
        parts.append(box(x, y + 5, max(width * share, 3.0), 5, f"bar {key}", 2))
        y += 26
    return "".join(parts)


def _drawn(each: Column, x: float, width: float, heights: Sequence[float]) -> str:
    centre, right = x + width / 2, x + width
    n = number
    parts = []
    for way in each.ways:
        # A unit's sum comes before the next one branches off.
        start, end = heights[way.first] - 6.5, heights[way.last] + _STEP + 3
        parts.append(
            path(
                f"M{n(centre)} {n(start)}L{n(right + 2)} {n(start)}C{n(right + _WAY)} {n(start)} {n(right + _WAY)} "
                f"{n(end)} {n(right + 2)} {n(end)}L{n(centre)} {n(end)}",
                f"way {way.kind}",
            )
        )
    for index, (step, y) in enumerate(zip(each.steps, heights, strict=True)):
        if index:
            above = heights[index - 1] + _STEP
            parts.append(path(f"M{n(centre)} {n(above)}L{n(centre)} {n(y - 5)}", "flow"))
            parts.append(arrow_head(centre, y, downward=True))
        parts.append(_box(step, x, y, width))
    return "".join(parts)


def _box(step: Step, x: float, y: float, width: float) -> str:
    middle = x + width / 2
    if step.kind is None:
        return text(middle, y + 13.5, step.label, "small middle")
    style = "pill" if step.kind == "norm" else "cell"
    return box(x, y, width, _STEP, step.kind, 3, title=step.title) + text(
        middle, y + 13.5, step.label, f"{style} middle"
    )


def _legend(columns: Sequence[Column], y: float, page: float) -> tuple[str, float]:
    parts = [path(f"M{number(_MARGIN)} {number(y - 12)}L{number(page - _MARGIN)} {number(y - 12)}", "rule")]
    x, y = _MARGIN, y + 14
    entries: list[_Entry] = []
    for kind in dict.fromkeys(step.kind for each in columns for step in each.steps if step.kind):
        entries.append(_Entry(NAMES[kind][0], 20, kind, False))
    for shortcut in dict.fromkeys(way.kind for each in columns for way in each.ways):
        entries.append(_Entry(SHORTCUTS[shortcut], 30, shortcut, True))
    for entry in entries:
        width = entry.mark + width_of(entry.name, 12) + 20
        if x > _MARGIN and x + width > page - _MARGIN:
            x, y = _MARGIN, y + 24
        parts.append(arc(x, x + 22, y, 15, entry.style) if entry.is_way else box(x, y - 11, 13, 13, entry.style, 2.5))
        parts.append(text(x + entry.mark, y, entry.name, "small"))
        x += width
    return "".join(parts), y


@dataclass(frozen=True)
class _Entry:
    """A line of the legend, its words behind a mark."""

    name: str
    mark: float
    style: str
    is_way: bool
