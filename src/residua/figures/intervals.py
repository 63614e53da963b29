"""Intervals: one rate on its scale, and rows of numbers with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from residua.figures.axes import Axis, Show, heading, image, level, linear
from residua.figures.axes import baseline as baseline_of

# Sizes of the drawing, pixels.
_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 520, 170, 20, 30, 24


@dataclass(frozen=True)
class Row:
    """A number of an interval chart.

    Attributes:
        label: at the row's left.
        value: the number.
        low, high: the ends of its interval.
        points: single values, such as one per seed.
        style: CSS class of its colour.
    """

    label: str
    value: float
    low: float
    high: float
    points: Sequence[float] = ()
    style: str = "c1"


def interval_chart(title: str, rows: Sequence[Row], show: Show) -> Markup:
    """Return an SVG element: per row a dot at the number, a line over the interval, small dots at the points.

    An arrowhead marks an interval that goes on beyond the edge.
    """
    if not rows:
        return Markup("")
    ends = [end for row in rows for end in (row.low, row.high, row.value, *row.points)]
    middle = [row.value for row in rows]
    # Student's interval over two seeds may be so wide that all other rows would merge: the edge cuts it.
    span = (max(middle) - min(middle)) or abs(middle[0]) or 1.0
    low, high = max(min(ends), min(middle) - 2 * span), min(max(ends), max(middle) + 2 * span)
    height = _TOP + _ROW * len(rows) + 22
    axis = linear((low, high), _LEFT, _WIDTH - _RIGHT, show, 5)
    parts = [heading(title), level(axis, height - 4, grid=(_TOP - 6, height - 18))]
    for number, row in enumerate(rows):
        y = _TOP + _ROW * number + 8
        dots = Markup("").join(
            Markup('<circle class="dot faint {}" cx="{}" cy="{}" r="2.5"/>').format(row.style, axis.clamped(value), y)
            for value in row.points
        )
        parts.append(
            Markup(
                '<g><title>{}</title><text class="tick end row" x="{}" y="{}">{}</text>'
                '<line class="line {style}" x1="{}" x2="{}" y1="{y}" y2="{y}"/>{}{}'
                '<circle class="dot {style}" cx="{}" cy="{y}" r="4.5"/></g>'
            ).format(
                f"{row.label}: {show(row.value)} ({show(row.low)} to {show(row.high)})",
                _LEFT - 10,
                y + 4,
                row.label,
                axis.clamped(row.low),
                axis.clamped(row.high),
                _arrows(axis, row, y),
                dots,
                axis.clamped(row.value),
                style=row.style,
                y=y,
            )
        )
    spoken = "; ".join(f"{row.label} {show(row.value)}" for row in rows)
    return image("bars", _WIDTH, height, f"{title}: {spoken}", parts)


def _arrows(axis: Axis, row: Row, y: int) -> Markup:
    """Return an arrowhead at each edge of the axis that an interval crosses."""
    edges = [(axis.start, 1)] * (row.low < axis.low) + [(axis.end, -1)] * (row.high > axis.high)
    return Markup("").join(
        Markup('<path class="line {}" d="M{} {}L{} {}L{} {}"/>').format(
            row.style, x + 5 * inwards, y - 4, x, y, x + 5 * inwards, y + 4
        )
        for x, inwards in edges
    )


def interval_bar(
    rate: float,
    low: float,
    high: float,
    baseline: float,
    name: str = "top-1",
    mark: str = "always the most frequent class",
) -> Markup:
    """Return an SVG scale from 0 to 100%: the rate called `name`, its interval, and the baseline, called `mark`."""
    axis = Axis((0, 0.5, 1), ("0%", "50%", "100%"), 0, 1, 14, 324)
    spoken = f"{name} {rate:.1%}, interval {low:.1%} to {high:.1%}; {mark} {baseline:.1%}"
    # The word moves with its tick, and stays inside the drawing at both ends.
    anchor = "start" if baseline < 0.2 else "end" if baseline > 0.8 else "middle"
    parts = Markup(
        "{line}{scale}"
        '<line class="base" x1="{base}" x2="{base}" y1="22" y2="38"/>'
        '<text class="tick {anchor}" x="{base}" y="14">{mark}</text>'
        '<rect class="span" x="{low}" y="21" width="{width}" height="18" rx="2"/>'
        '<line class="point" x1="{rate}" x2="{rate}" y1="18" y2="42"/>'
    ).format(
        line=baseline_of(axis.start, axis.end, 30),
        scale=level(axis, 57),
        base=axis.position(baseline),
        anchor=anchor,
        mark=mark,
        low=axis.position(low),
        width=max(round(axis.position(high) - axis.position(low), 1), 1),
        rate=axis.position(rate),
    )
    return image("interval", 340, 62, spoken, [parts])
