"""What studies draw: error by epoch, and arms as rows with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from residua.figures.axes import Show, points
from residua.figures.intervals import Row
from residua.figures.lines import Series, line_chart
from residua.figures.palette import LINES
from residua.studies.intervals import Interval
from residua.studies.study import Result


def interval_row(label: str, interval: Interval, values: Sequence[float] = (), style: str = LINES[0]) -> Row:
    """Return a row of an interval chart: the interval, and the single values."""
    return Row(label, interval.value, interval.low, interval.high, values, style)


def value_lines(title: str, x_label: str, lines: Sequence[tuple[str, Sequence[float]]], show: Show) -> Markup:
    """Return a chart of values by place, counted from 1, a colour per name; lines may end at different places."""
    longest = max((len(values) for _, values in lines), default=0)
    drawn = [
        Series(name, LINES[index % len(LINES)], _padded(values, longest)) for index, (name, values) in enumerate(lines)
    ]
    return line_chart(title, x_label, list(range(1, longest + 1)), drawn, show)


def error_curves(title: str, lines: Sequence[tuple[str, Sequence[Result]]]) -> Markup:
    """Return a chart of the mean error over the seeds by epoch, as He 2015 draws it; "" of fewer than two epochs.

    Training is dashed, held-out images are bold; each network has its colour.

    Args:
        title: above the axis.
        lines: the name of each network, and its results with each seed.
    """
    series, longest = [], 0
    for index, (label, results) in enumerate(lines):
        colour = LINES[index % len(LINES)]
        for key, kind, name in (("train_top1", "dashed", ""), ("val_top1", "bold", label)):
            values = mean_error(results, key)
            longest = max(longest, len(values))
            if values:
                series.append((name or f"{label} training", f"{colour} {kind}", values))
    padded = [Series(name, style, _padded(values, longest)) for name, style, values in series]
    return line_chart(title, "epoch", list(range(1, longest + 1)), padded, points)


def mean_error(results: Sequence[Result], key: str) -> list[float]:
    """Return, per epoch that all seeds have, 1 - the mean over the seeds of a rate of the history."""
    rates = [[line.get(key) for line in result.history] for result in results]
    return [
        1 - sum(map(float, epoch)) / len(epoch)
        for epoch in zip(*rates, strict=False)
        if all(v is not None for v in epoch)
    ]


def _padded(values: Sequence[float], longest: int) -> list[float | None]:
    return [*values, *[None] * (longest - len(values))]
