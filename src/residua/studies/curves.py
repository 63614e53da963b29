"""Error by epoch, as He 2015 draws it: training dashed, held-out images bold, a colour for each network."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from residua.figures.charts import Series, line_chart
from residua.studies.charts import COLOURS, points
from residua.studies.study import Result


def error_curves(title: str, lines: Sequence[tuple[str, Sequence[Result]]]) -> Markup:
    """Return a chart of the mean over the seeds; "" where there are fewer than two epochs.

    Args:
        title: above the axis.
        lines: the name of each network, and its results with each seed.
    """
    series, longest = [], 0
    for place, (label, results) in enumerate(lines):
        colour = COLOURS[place % len(COLOURS)]
        for key, kind, name in (("train_top1", "dashed", ""), ("val_top1", "bold", label)):
            values = mean_error(results, key)
            longest = max(longest, len(values))
            if values:
                series.append((name or f"{label} training", f"{colour} {kind}", values))
    padded = [Series(name, style, [*values, *[None] * (longest - len(values))]) for name, style, values in series]
    return line_chart(title, "epoch", list(range(1, longest + 1)), padded, points)


def mean_error(results: Sequence[Result], key: str) -> list[float]:
    """Return 1 - the mean over the seeds of a rate of the history, an epoch each, as far as all seeds have it."""
    rates = [[line.get(key) for line in result.history] for result in results]
    return [
        1 - sum(map(float, epoch)) / len(epoch)
        for epoch in zip(*rates, strict=False)
        if all(v is not None for v in epoch)
    ]
