"""Axes of charts: round ticks, their labels, and where a value stands in the drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from residua.figures.attributes import with_attributes

Show = Callable[[float], str]
_MOST_DECADES = 6  # intervals of a logarithmic axis: more labels than seven touch
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Axis:
    """A scale of a chart.

    Attributes:
        ticks: values that are marked.
        labels: their texts.
        low, high: values at the ends.
        start, end: coordinates of the ends; `end` is less than `start` where values rise upward.
        log: whether equal ratios, not differences, are equally long.
    """

    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def position(self, value: float) -> float:
        """Return the coordinate of a value, to a tenth."""
        low, high, at = (math.log10(v) for v in (self.low, self.high, value)) if self.log else self._plain(value)
        return round(self.start + (at - low) / (high - low) * (self.end - self.start), 1)

    def clamped(self, value: float) -> float:
        """Return the coordinate of a value, which stands at the end where it lies outside."""
        return self.position(min(max(value, self.low), self.high))

    def _plain(self, value: float) -> tuple[float, float, float]:
        return self.low, self.high, value


def linear(values: Iterable[float], start: float, end: float, show: Show, count: int = 4) -> Axis:
    """Return an axis of about `count` round intervals that encloses finite values."""
    known = list(values)
    marks = ticks(min(known), max(known), count)
    return Axis(tuple(marks), tuple(map(show, marks)), marks[0], marks[-1], start, end)


def logarithmic(values: Iterable[float], start: float, end: float) -> Axis:
    """Return an axis of powers of ten that encloses values above 0; within one decade 2 and 5 are marked too."""
    known = list(values)
    first, last = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    last = max(last, first + 1)
    step = -(-(last - first) // _MOST_DECADES)
    last = first + step * -(-(last - first) // step)
    powers = range(first, last + 1, step)
    marks = [
        (digit, power) for power in powers for digit in ((1, 2, 5) if last - first == 1 and power == first else (1,))
    ]
    if first >= -5 and last <= 6:
        labels = [f"{digit * 10.0**power:,.{max(-power, 0)}f}" for digit, power in marks]
    else:
        labels = [
            f"{'' if digit == 1 else f'{digit}×'}10{str(power).translate(_SUPERSCRIPTS)}" for digit, power in marks
        ]
    places = tuple(float(f"{digit}e{power}") for digit, power in marks)
    return Axis(places, tuple(labels), places[0], places[-1], start, end, log=True)


def positions(xs: Sequence[float], start: float, end: float) -> Axis:
    """Return an axis that ends at the first and the last of ascending positions, with whole numbers marked."""
    low, high = min(xs), max(xs)
    marks = [mark for mark in ticks(low, high, 5) if low <= mark <= high and mark == int(mark)] or [low]
    return Axis(tuple(marks), tuple(f"{mark:,.15g}" for mark in marks), low, high, start, end)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers that enclose low to high: steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        pad = abs(low) / 10 or 0.5
        low, high = low - pad, high + pad
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Twelve digits of the value, not of the decimals: a rate of 1e-12 must not become 0.
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def compact(value: float) -> str:
    """Return a number of any size in three digits: "0.00123", "1,230", "1.23M", "1.23×10⁻⁷"."""
    if not math.isfinite(value):
        return str(value)
    rounded = float(f"{value:.3g}")
    for least, most, unit, name in ((1e-4, 1e3, 1.0, ""), (1e6, 1e9, 1e6, "M"), (1e9, 1e12, 1e9, "G")):
        if least <= abs(rounded) < most:
            return f"{rounded / unit:.3g}{name}"
    if rounded == 0 or 1e3 <= abs(rounded) < 1e6:
        return f"{rounded:,.0f}"
    digits, _, power = f"{rounded:.2e}".partition("e")
    return f"{float(digits):g}×10{str(int(power)).translate(_SUPERSCRIPTS)}"


def percent(rate: float) -> str:
    """Return a rate of at most four digits: 0.1234 as "12.34%"."""
    return f"{100 * rate:.4g}%"


def points(rate: float) -> str:
    """Return a rate with one decimal: 0.123 as "12.3%"."""
    return f"{100 * rate:.1f}%"


def heading(title: str) -> Markup:
    """Return the quantity and unit of a chart, at its top left."""
    return Markup('<text class="axis-title" x="0" y="12">{}</text>').format(title)


def upright(axis: Axis, left: float, right: float) -> Markup:
    """Return the grid lines of a vertical axis from `left` to `right`, with labels before them."""
    line = Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/><text class="tick end" x="{}" y="{}">{}</text>'
    )
    marks = ((axis.position(tick), label) for tick, label in zip(axis.ticks, axis.labels, strict=True))
    return Markup("").join(line.format(left, right, left - 7, y + 3.5, label, y=y) for y, label in marks)


def level(axis: Axis, y: float, grid: tuple[float, float] | None = None) -> Markup:
    """Return the labels of a horizontal axis at baseline `y`, with grid lines over the heights `grid`."""
    parts = []
    for tick, label in zip(axis.ticks, axis.labels, strict=True):
        x = axis.position(tick)
        if grid is not None:
            parts.append(Markup('<line class="grid" x1="{x}" x2="{x}" y1="{}" y2="{}"/>').format(*grid, x=x))
        parts.append(Markup('<text class="tick middle" x="{}" y="{}">{}</text>').format(x, y, label))
    return Markup("").join(parts)


def baseline(left: float, right: float, y: float) -> Markup:
    """Return the line on which a chart stands."""
    return Markup('<line class="axis" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(left, right, y=y)


def below(label: str, left: float, right: float, y: float) -> Markup:
    """Return the name of a horizontal axis, in its middle."""
    return Markup('<text class="tick middle" x="{}" y="{}">{}</text>').format((left + right) / 2, y, label)


def image(kind: str, width: float, height: float, spoken: str, parts: Iterable[Markup]) -> Markup:
    """Return an SVG element of a page, of CSS class `kind`, with what is read aloud of it.

    Its marks carry their light colours as attributes, which the style sheet of a page overrides. `alone` makes a file
    of it that any program draws.
    """
    drawn = Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        kind, width, height, spoken, Markup("").join(parts)
    )
    return with_attributes(drawn)
