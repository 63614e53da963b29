"""Charts of studies beyond lines: arms as rows, each with its interval and its single values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from residua.figures.charts import ticks
from residua.studies.intervals import Interval

COLOURS = ("c1", "c2", "c3", "c4", "c5", "c6")
"""CSS classes, in the order in which they are given out."""

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 520, 170, 20, 30, 24


@dataclass(frozen=True)
class Bar:
    """A row: its name, the mean with its interval, the single values, and the colour's CSS class."""

    label: str
    interval: Interval
    values: Sequence[float] = ()
    style: str = "c1"


def interval_chart(title: str, bars: Sequence[Bar], show: Callable[[float], str]) -> Markup:
    """Return an SVG element: a row a bar, a point at the mean, a line over the interval, dots at the values."""
    if not bars:
        return Markup("")
    ends = [end for bar in bars for end in (bar.interval.low, bar.interval.high, bar.interval.value, *bar.values)]
    middle = [bar.interval.value for bar in bars]
    # With two seeds Student's interval may be so wide that nothing else could be told apart: it is cut at the edge.
    span = (max(middle) - min(middle)) or abs(middle[0]) or 1.0
    low, high = max(min(ends), min(middle) - 2 * span), min(max(ends), max(middle) + 2 * span)
    marks = ticks(low, high, 5)
    edge, height = _WIDTH - _RIGHT, _TOP + _ROW * len(bars) + 22

    def x_of(value: float) -> float:
        share = (value - marks[0]) / (marks[-1] - marks[0])
        return round(_LEFT + min(max(share, 0.0), 1.0) * (edge - _LEFT), 1)

    parts = [Markup('<text class="axis-title" x="0" y="12">{}</text>').format(title)]
    for mark in marks:
        parts.append(
            Markup(
                '<line class="grid" x1="{x}" x2="{x}" y1="{}" y2="{}"/>'
                '<text class="tick middle" x="{x}" y="{}">{}</text>'
            ).format(_TOP - 6, height - 18, height - 4, show(mark), x=x_of(mark))
        )
    for row, bar in enumerate(bars):
        y = _TOP + _ROW * row + 8
        found = bar.interval
        reading = f"{bar.label}: {show(found.value)} ({show(found.low)} to {show(found.high)})"
        dots = Markup("").join(
            Markup('<circle class="dot faint {}" cx="{}" cy="{}" r="2.5"/>').format(bar.style, x_of(value), y)
            for value in bar.values
        )
        parts.append(
            Markup(
                '<g><title>{}</title><text class="tick end row" x="{}" y="{}">{}</text>'
                '<line class="line {style}" x1="{}" x2="{}" y1="{y}" y2="{y}"/>{}'
                '<circle class="dot {style}" cx="{}" cy="{y}" r="4.5"/></g>'
            ).format(
                reading,
                _LEFT - 10,
                y + 4,
                bar.label,
                x_of(found.low),
                x_of(found.high),
                dots,
                x_of(found.value),
                style=bar.style,
                y=y,
            )
        )
    spoken = "; ".join(f"{bar.label} {show(bar.interval.value)}" for bar in bars)
    return Markup('<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, height, f"{title}: {spoken}", Markup("").join(parts)
    )


def points(rate: float) -> str:
    """Return 0.123 as "12.3%"."""
    return f"{100 * rate:.1f}%"


def short(value: float) -> str:
    """Return a number of any size, briefly."""
    return f"{value:.3g}"
