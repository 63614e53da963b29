"""Points in a plane, in groups: a map of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from residua.figures.axes import below, heading, image
from residua.figures.palette import LINES

# One unit is one CSS pixel on a phone; wider screens scale the drawing up.
_WIDTH, _HEIGHT, _TOP, _MARGIN, _ROW = 340, 300, 26, 8, 15
_SHAPES = ("circle", "square", "triangle")
MOST_GROUPS = len(LINES) * len(_SHAPES)
"""Groups that colours and shapes tell apart."""


@dataclass(frozen=True)
class Point:
    """A point of a map.

    Attributes:
        x: its place, in any unit.
        y: the other coordinate, in the same unit.
        group: position in the list of groups; -1 for none of them, drawn grey.
        text: shown under the pointer.
        ringed: whether a ring is drawn around it.
    """

    x: float
    y: float
    group: int
    text: str
    ringed: bool = False


def scatter(title: str, caption: str, points: Sequence[Point], groups: Sequence[str]) -> Markup:
    """Return an SVG element: the points at one scale for both axes, and a legend of the groups.

    Args:
        title: above the plane.
        caption: below it.
        points: at least one.
        groups: names, at most `MOST_GROUPS`.
    """
    xs, ys = [point.x for point in points], [point.y for point in points]
    span = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    side = min(_WIDTH, _HEIGHT - _TOP) - 2 * _MARGIN
    wide, high = (max(xs) - min(xs)) / span * side, (max(ys) - min(ys)) / span * side
    # The longer axis fills the width; the height follows the points.
    scale = min((_WIDTH - 2 * _MARGIN) / max(wide, 1e-9), 1.35) if wide else 1.0
    left = (_WIDTH - wide * scale) / 2
    floor = _TOP + _MARGIN + high * scale
    rows = -(-len(groups) // 2)
    height = floor + _MARGIN + 20 + rows * _ROW
    drawn = []
    # Rings last: what is marked is not covered.
    for point in sorted(points, key=lambda each: each.ringed):
        x = round(left + (point.x - min(xs)) / span * side * scale, 1)
        y = round(floor - (point.y - min(ys)) / span * side * scale, 1)
        drawn.append(_marked(x, y, point))
    legend = [
        _entry(index, name, 6 + (index % 2) * _WIDTH / 2, floor + _MARGIN + 32 + (index // 2) * _ROW)
        for index, name in enumerate(groups)
    ]
    spoken = f"{title}: {len(points)} points in {len(groups)} groups. {caption}"
    return image(
        "chart", _WIDTH, height, spoken, [heading(title), *drawn, below(caption, 0, _WIDTH, floor + 20), *legend]
    )


def _marked(x: float, y: float, point: Point) -> Markup:
    mark = _mark(x, y, point.group, 2.2)
    ring = Markup('<circle class="ring" cx="{}" cy="{}" r="4.2"/>').format(x, y) if point.ringed else Markup("")
    return Markup("<g><title>{}</title>{}{}</g>").format(point.text, mark, ring)


def _mark(x: float, y: float, group: int, size: float) -> Markup:
    if group < 0:
        return Markup('<circle class="count" cx="{}" cy="{}" r="{}"/>').format(x, y, size)
    style, shape = LINES[group % len(LINES)], _SHAPES[group // len(LINES) % len(_SHAPES)]
    if shape == "square":
        corner = (round(x - size, 1), round(y - size, 1))
        return Markup('<rect class="dot {}" x="{}" y="{}" width="{s}" height="{s}"/>').format(
            style, *corner, s=2 * size
        )
    if shape == "triangle":
        top, base, half = round(y - 1.3 * size, 1), round(y + size, 1), 1.2 * size
        path = f"M{x} {top}L{round(x + half, 1)} {base}H{round(x - half, 1)}Z"
        return Markup('<path class="dot {}" d="{}"/>').format(style, path)
    return Markup('<circle class="dot {}" cx="{}" cy="{}" r="{}"/>').format(style, x, y, size)


def _entry(index: int, name: str, x: float, y: float) -> Markup:
    text = name if len(name) <= 22 else f"{name[:21]}…"
    return Markup('{}<text class="row" x="{}" y="{}">{}</text>').format(_mark(x, y - 4, index, 3.2), x + 8, y, text)
