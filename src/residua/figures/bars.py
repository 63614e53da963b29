"""Horizontal bars with whiskers, as an SVG file that stands alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from residua.figures.sheets import standing_alone
from residua.figures.widths import width_of

_EDGE, _LEFT, _MIDDLE, _RIGHT = 24, 300, 410, 250  # the least widths of labels, bars and notes
# Sizes of the drawing, pixels.
_TOP, _BAR, _GAP, _BETWEEN = 64, 20, 6, 18


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        label: at its left.
        value: its length, above 0.
        low, high: the ends of its whisker.
        note: behind it.
        spoken: what is read aloud of it.
        first: whether it has the first colour.
        group: bars of different groups stand apart.
    """

    label: str
    value: float
    low: float
    high: float
    note: str
    spoken: str
    first: bool
    group: object


def bar_chart(title: str, bars: Sequence[Bar], foot: str) -> str:
    """Return the SVG document, its bars to one scale from 0; `foot` stands below them."""
    longest = max(max(bar.high, bar.value) for bar in bars)
    scale = _MIDDLE / longest
    left = max(_LEFT, math.ceil(_EDGE + 10 + max(width_of(bar.label, 13) for bar in bars)))
    right = max(_RIGHT, math.ceil(_EDGE + 10 + max(width_of(bar.note, 13) for bar in bars)))
    lines = (width_of(title, 18, bold=True), width_of(foot, 13))
    width = max(left + _MIDDLE + right, 2 * _EDGE + math.ceil(max(lines)))
    parts, y = [], _TOP
    for number, bar in enumerate(bars):
        y += _BETWEEN if number and bars[number - 1].group != bar.group else 0
        parts.append(_drawn(bar, left, y, scale))
        y += _BAR + _GAP
    height = y + 34
    document = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="{spoken}"><style>{style}</style><rect class="paper" width="{w}" height="{h}"/>'
        '<text class="title" x="24" y="34">{title}</text>{bars}<text x="24" y="{below}">{foot}</text></svg>'
    ).format(
        w=width,
        h=height,
        spoken="; ".join(bar.spoken for bar in bars),
        style=Markup(standing_alone("bars.css")),
        title=title,
        bars=Markup("").join(parts),
        below=height - 14,
        foot=foot,
    )
    return f"{document}\n"


def _drawn(bar: Bar, left: int, y: int, scale: float) -> Markup:
    middle = y + _BAR / 2
    return Markup(
        '<text class="name end" x="{name_x}" y="{text_y}">{name}</text>'
        '<rect class="{kind}" x="{left}" y="{y}" width="{width:.1f}" height="{height}" rx="3"/>'
        '<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
        '<text x="{after_x:.1f}" y="{text_y}">{note}</text>'
    ).format(
        name_x=left - 10,
        text_y=middle + 4.5,
        name=bar.label,
        kind="first" if bar.first else "second",
        left=left,
        y=y,
        width=max(1.0, bar.value * scale),
        height=_BAR,
        low=left + bar.low * scale,
        high=left + bar.high * scale,
        middle=middle,
        after_x=left + max(bar.high, bar.value) * scale + 10,
        note=bar.note,
    )
