"""The chart of a benchmark: a bar per case, as an SVG file that stands alone."""

from __future__ import annotations

from residua.bench.report import BenchReport, Result
from residua.figures.bars import Bar, bar_chart


def chart(report: BenchReport) -> str:
    """Return the SVG document: images per second from the median, whiskers from the 5% to the 95% quantile."""
    foot = "{processor}, {threads}, {device}; torch {torch}; {date}".format_map(report.machine)
    return bar_chart("Images per second, median of the steps", [_bar(result) for result in report.results], foot)


def _bar(result: Result) -> Bar:
    case = result.case
    note = f"{result.images_per_second:,.1f}"
    if result.ratio:
        note += f" · ours {result.ratio.median:.2f} times as fast"
    return Bar(
        label=f"{case.model}, {case.source}{'' if case.way == 'eager' else ' ' + case.way}",
        value=result.images_per_second,
        low=case.batch / result.timing.quantile(0.95),
        high=case.batch / result.timing.quantile(0.05),
        note=note,
        spoken=f"{case.model} by {case.source}: {result.images_per_second:.1f} images/s",
        first=case.source == "residua",
        group=(case.model, case.mode, case.precision, case.batch, case.resolution),
    )
