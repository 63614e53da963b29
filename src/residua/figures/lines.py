"""Small line charts as inline SVG: axes with labels, a reading under the pointer, no script."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from residua.figures.axes import (
    Show,
    baseline,
    below,
    heading,
    image,
    level,
    linear,
    logarithmic,
    positions,
    upright,
)
from residua.figures.widths import width_of

# One unit is one CSS pixel on a phone; wider screens scale the drawing up.
_WIDTH, _HEIGHT = 340, 230
# Sizes of the drawing, pixels.
_LEFT, _TOP, _BOTTOM = 46, 30, 38
_RIGHT, _RIGHT_NAMED = 12, 70


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        label: written at the line's end.
        style: CSS class of its colour.
        values: one per position; None where there is none.
    """

    label: str
    style: str
    values: Sequence[float | None]


def line_chart(
    title: str,
    x_label: str,
    xs: Sequence[float],
    series: Sequence[Series],
    show: Show,
    *,
    log: bool = False,
) -> Markup:
    """Return an SVG element; "" when there are fewer than two positions or no finite values.

    Args:
        title: quantity and unit, above the axis.
        x_label: below it.
        xs: positions, ascending.
        series: the lines; `values` as long as `xs`.
        show: number -> text, for readings, and for ticks of a linear axis.
        log: a logarithmic axis; values that are not positive are left out.
    """
    if log:
        series = [
            replace(line, values=[y if y is not None and y > 0 else None for y in line.values]) for line in series
        ]
    series = [line for line in series if any(_is_finite(value) for value in line.values)]
    if not series or len(xs) < 2:
        return Markup("")
    title = f"{title}, logarithmic" if log else title
    # Names stand at the ends of the lines; the title names a single line.
    longest = max(width_of(line.label, 11, bold=True) for line in series)
    edge = _WIDTH - (round(min(max(_RIGHT_NAMED, 8 + longest), _WIDTH / 2)) if len(series) > 1 else _RIGHT)
    floor = _HEIGHT - _BOTTOM
    drawn = [value for line in series for value in line.values if value is not None and _is_finite(value)]
    x_axis = positions(xs, _LEFT, edge)
    y_axis = logarithmic(drawn, floor, _TOP) if log else linear(drawn, floor, _TOP, show)
    parts = [
        heading(title),
        upright(y_axis, _LEFT, edge),
        level(x_axis, floor + 16),
        baseline(_LEFT, edge, floor),
        below(x_label, _LEFT, edge, _HEIGHT - 5),
        *(_line(line, xs, x_axis.position, y_axis.position) for line in series),
        *_end_labels(series, x_axis.position(xs[-1]) + 6, y_axis.position),
        *_readings(x_label, xs, series, show, x_axis.position, y_axis.position),
    ]
    spoken = "; ".join(f"{line.label} from {_ends(line, show)}" for line in series)
    return image("chart", _WIDTH, _HEIGHT, f"{title}, by {x_label}: {spoken}", parts)


def _line(line: Series, xs: Sequence[float], x_of: Callable[[float], float], y_of: Callable[[float], float]) -> Markup:
    pieces: list[list[str]] = [[]]
    for x, y in zip(xs, line.values, strict=True):
        if y is None or not _is_finite(y):
            pieces.append([])
        else:
            pieces[-1].append(f"{x_of(x)} {y_of(y)}")
    path = " ".join("M" + "L".join(piece) for piece in pieces if len(piece) > 1)
    dots = [piece[0].split() for piece in pieces if len(piece) == 1]
    return Markup("").join(
        [
            Markup('<path class="line {}" d="{}"/>').format(line.style, path) if path else Markup(""),
            *(Markup('<circle class="dot {}" cx="{}" cy="{}" r="3"/>').format(line.style, x, y) for x, y in dots),
        ]
    )


def _end_labels(series: Sequence[Series], x: float, y_of: Callable[[float], float]) -> list[Markup]:
    ends = sorted((y_of(_last(line)), line.label, line.style) for line in series)
    if len(ends) < 2:
        return []
    placed: list[float] = []
    for y, _, _ in ends:
        placed.append(max(y, placed[-1] + 13) if placed else y)
    over = max(0.0, placed[-1] - (_HEIGHT - _BOTTOM))
    return [
        Markup('<text class="name {}" x="{}" y="{}">{}</text>').format(style, x, round(y - over + 3.5, 1), label)
        for y, (_, label, style) in zip(placed, ends, strict=True)
    ]


def _readings(
    x_label: str,
    xs: Sequence[float],
    series: Sequence[Series],
    show: Show,
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
) -> list[Markup]:
    """Return an invisible strip per position, which shows a rule, the points and a title under the pointer."""
    edges = [(x_of(a) + x_of(b)) / 2 for a, b in itertools.pairwise(xs)]
    lefts = [max(0.0, 2 * x_of(xs[0]) - edges[0]), *edges]
    rights = [*edges, 2 * x_of(xs[-1]) - edges[-1]]
    strips = []
    for index, (x, left, right) in enumerate(zip(xs, lefts, rights, strict=True)):
        points = [(line, line.values[index]) for line in series]
        known = [(line, y) for line, y in points if y is not None and _is_finite(y)]
        text = f"{x_label} {x:g}" + "".join(f"\n{line.label} {show(y)}" for line, y in known)
        dots = Markup("").join(
            Markup('<circle class="dot {}" cx="{}" cy="{}" r="3.5"/>').format(line.style, x_of(x), y_of(y))
            for line, y in known
        )
        strips.append(
            Markup(
                '<g class="reading"><title>{}</title><rect class="strip" x="{}" y="{}" width="{}" height="{}"/>'
                '<g class="mark"><line class="rule" x1="{x}" x2="{x}" y1="{}" y2="{}"/>{}</g></g>'
            ).format(
                text,
                round(left, 1),
                _TOP,
                round(right - left, 1),
                _HEIGHT - _TOP - _BOTTOM,
                _TOP,
                _HEIGHT - _BOTTOM,
                dots,
                x=x_of(x),
            )
        )
    return strips


def _ends(line: Series, show: Show) -> str:
    known = [value for value in line.values if value is not None and _is_finite(value)]
    return str(escape(f"{show(known[0])} to {show(known[-1])}"))


def _last(line: Series) -> float:
    return next(value for value in reversed(line.values) if value is not None and _is_finite(value))


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
