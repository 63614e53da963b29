"""Small line charts as inline SVG: axes with labels, a reading under the pointer, no script."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

# One unit is one CSS pixel on a phone; wider screens scale the drawing up.
_WIDTH, _HEIGHT = 340, 230
_LEFT, _TOP, _BOTTOM = 46, 30, 38
_RIGHT, _RIGHT_NAMED = 12, 70
_LETTER = 6.2  # of a name at a line's end, bold, on average


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        label: written at the line's end.
        style: CSS class of its colour.
        values: one an x; None where there is none.
    """

    label: str
    style: str
    values: Sequence[float | None]


def line_chart(
    title: str,
    x_label: str,
    xs: Sequence[float],
    series: Sequence[Series],
    show: Callable[[float], str],
    *,
    log: bool = False,
) -> Markup:
    """Return an SVG element; "" when there are fewer than two positions or no finite values.

    Args:
        title: quantity and unit, above the axis.
        x_label: below it.
        xs: positions, ascending.
        series: the lines; `values` as long as `xs`.
        show: number -> text, for ticks and readings.
        log: a logarithmic axis; values that are not positive are left out.
    """
    if log:
        series = [
            replace(line, values=[y if y is not None and y > 0 else None for y in line.values]) for line in series
        ]
    series = [line for line in series if any(_is_finite(value) for value in line.values)]
    if not series or len(xs) < 2:
        return Markup("")
    drawn = [value for line in series for value in line.values if value is not None and _is_finite(value)]
    y_ticks = _decades(min(drawn), max(drawn)) if log else ticks(min(drawn), max(drawn), 4)
    x_ticks, title = _whole_ticks(min(xs), max(xs)), f"{title}, logarithmic" if log else title
    low, high = (math.log10(y) if log else y for y in (y_ticks[0], y_ticks[-1]))
    # Names stand at the ends of the lines; the title says what a single line is.
    longest = max(len(line.label) for line in series)
    edge = _WIDTH - (round(min(max(_RIGHT_NAMED, 8 + _LETTER * longest), _WIDTH / 2)) if len(series) > 1 else _RIGHT)
    x_low, x_high = min(xs), max(xs)

    def x_of(value: float) -> float:
        return round(_LEFT + (value - x_low) / (x_high - x_low) * (edge - _LEFT), 1)

    def y_of(value: float) -> float:
        value = math.log10(value) if log else value
        return round(_HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    floor = _HEIGHT - _BOTTOM
    parts = [Markup('<text class="axis-title" x="0" y="12">{}</text>').format(title)]
    for tick in y_ticks:
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/><text class="tick end" x="{}" y="{}">{}</text>'
            ).format(_LEFT, edge, _LEFT - 7, y_of(tick) + 3.5, show(tick), y=y_of(tick))
        )
    for tick in x_ticks:
        parts.append(
            Markup('<text class="tick middle" x="{}" y="{}">{}</text>').format(x_of(tick), floor + 16, f"{tick:g}")
        )
    parts.append(Markup('<line class="axis" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(_LEFT, edge, y=floor))
    middle = (_LEFT + edge) / 2
    parts.append(Markup('<text class="tick middle" x="{}" y="{}">{}</text>').format(middle, _HEIGHT - 5, x_label))
    parts += [_line(line, xs, x_of, y_of) for line in series]
    parts += _end_labels(series, x_of(xs[-1]) + 6, y_of)
    parts += _readings(x_label, xs, series, show, x_of, y_of)
    spoken = "; ".join(f"{line.label} from {_ends(line, show)}" for line in series)
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, f"{title}, by {x_label}: {spoken}", Markup("").join(parts)
    )


def interval_bar(rate: float, low: float, high: float, baseline: float) -> Markup:
    """Return an SVG scale from 0 to 100% with the rate, its interval, and the baseline as a tick."""

    def x_of(value: float) -> float:
        return round(10 + 320 * value, 1)

    spoken = f"top-1 {rate:.1%}, interval {low:.1%} to {high:.1%}; most frequent class {baseline:.1%}"
    # The word moves with its tick, and stays inside the drawing at both ends.
    anchor = "start" if baseline < 0.2 else "end" if baseline > 0.8 else "middle"
    scale = Markup("").join(
        Markup('<text class="tick {}" x="{}" y="57">{}%</text>').format(side, x_of(at), round(100 * at))
        for at, side in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    return Markup(
        '<svg class="interval" viewBox="0 0 340 62" role="img" aria-label="{spoken}">'
        '<line class="axis" x1="10" x2="330" y1="30" y2="30"/>{scale}'
        '<line class="base" x1="{base}" x2="{base}" y1="22" y2="38"/>'
        '<text class="tick {anchor}" x="{base}" y="14">always the most frequent class</text>'
        '<rect class="span" x="{low}" y="21" width="{width}" height="18" rx="2"/>'
        '<line class="point" x1="{rate}" x2="{rate}" y1="18" y2="42"/></svg>'
    ).format(
        spoken=spoken,
        scale=scale,
        base=x_of(baseline),
        anchor=anchor,
        low=x_of(low),
        width=max(round(x_of(high) - x_of(low), 1), 1),
        rate=x_of(rate),
    )


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


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def _whole_ticks(low: float, high: float) -> list[float]:
    inside = [tick for tick in ticks(low, high, 5) if low <= tick <= high and tick == int(tick)]
    return inside or [low]


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
    show: Callable[[float], str],
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
) -> list[Markup]:
    """Return an invisible strip an x, which shows a rule, the points and a title under the pointer."""
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
                '<g class="reading"><title>{}</title><rect x="{}" y="{}" width="{}" height="{}"/>'
                '<line class="rule" x1="{x}" x2="{x}" y1="{}" y2="{}"/>{}</g>'
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


def _ends(line: Series, show: Callable[[float], str]) -> str:
    known = [value for value in line.values if value is not None and _is_finite(value)]
    return str(escape(f"{show(known[0])} to {show(known[-1])}"))


def _last(line: Series) -> float:
    return next(value for value in reversed(line.values) if value is not None and _is_finite(value))


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
