"""A sweep as one offline HTML page."""

from __future__ import annotations

from functools import cache

from jinja2 import Template

from residua._base.words import clock
from residua.figures import pages
from residua.figures.intervals import Row, interval_chart
from residua.sweeps.halving import RUNGS
from residua.sweeps.outcome import CellResult, Sweep
from residua.sweeps.search import Trial

_DRAWN, _CHARACTERS = 40, 25  # rows of the chart, the best ones; what its left edge has room for


def render(sweep: Sweep, command: str, *, whole: bool) -> str:
    """Return the page as text; every name from outside is escaped.

    Args:
        sweep: its outcome.
        command: that repeats it.
        whole: whether the command stands as it was typed; of a path from the root only the last part is stated.
    """
    points = [[run.top1 for run in cell.runs] for cell in sweep.cells]
    rows = [
        Row(_short(number, cell, sweep), cell.top1.value, cell.top1.low, cell.top1.high, own if len(own) > 1 else ())
        for number, (cell, own) in enumerate(zip(sweep.cells[:_DRAWN], points, strict=False), 1)
    ]
    table = [
        (
            cell.label,
            cell.val_top1.text if cell.val_top1 else "–",
            cell.top1.text,
            str(len(cell.runs)),
            clock(sum(run.seconds for run in cell.runs)),
            "\n".join(run.id for run in cell.runs),
        )
        for cell in sweep.cells
    ]
    split = sweep.cells[0].runs[0].split if sweep.cells else "test"
    return _template().render(
        sweep=sweep,
        split=split,
        command=command,
        whole=whole,
        chart=interval_chart(f"{split} top-1 accuracy", rows, lambda value: f"{100 * value:.1f}%"),
        rows=table,
        trials=[(str(each.number + 1), each.label, *_rungs(each), _state(each)) for each in sweep.search.trials]
        if sweep.search
        else [],
        rungs=[f"1/{divisor} of the length" if divisor > 1 else "whole length" for divisor in RUNGS],
        drawn=len(rows),
    )


def _rungs(trial: Trial) -> list[str]:
    """Return the accuracy of each rung in percent; a trial that was alone has only the last."""
    shown = [f"{100 * value:.2f}" for value in trial.values]
    if trial.whole and len(shown) < len(RUNGS):
        shown = ["–"] * (len(RUNGS) - len(shown)) + shown
    return shown + ["–"] * (len(RUNGS) - len(shown))


def _state(trial: Trial) -> str:
    if trial.failed:
        return "failed"
    return "to the end" if trial.whole else "halved away"


def _short(number: int, cell: CellResult, sweep: Sweep) -> str:
    """Return what fits beside a row of the chart: the number in the table, and what differs from cell to cell."""
    alike = len({each.model for each in sweep.cells}) == 1
    text = f"{number}: {cell.label.removeprefix(f'{cell.model} ') if alike else cell.label}"
    if len(text) > _CHARACTERS:  # the table has the names of the fields
        words = [word.rpartition("=")[2] for word in cell.label.split(" ")]
        text = f"{number}: {' '.join(words[1:] if alike and words[1:] else words)}"
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…"


@cache
def _template() -> Template:
    return pages.environment("residua.sweeps").get_template("sweep.html.j2")
