"""The training curves: losses, accuracy and learning rate by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from markupsafe import Markup

from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.section import Link
from residua.evaluation.report.text import percent
from residua.figures.axes import compact
from residua.figures.lines import Series, line_chart

History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class CurvesSection:
    """The training curves.

    Attributes:
        member: the member of an ensemble that they belong to, or "".
        best: the best validation accuracy, in percent, and its epoch; None without validation.
        charts: drawings.
        columns: names of the history's fields.
        rows: the history as text, one row per epoch.
    """

    member: str
    best: tuple[str, float] | None
    charts: tuple[Markup, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    template: ClassVar[str] = "curves.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("curves", "Curves"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None without a history."""
        if not findings.history:
            return None
        columns = tuple(dict.fromkeys(key for row in findings.history for key in row))
        best = _best(findings.history)
        return cls(
            member=findings.ensemble.members[0].name if findings.ensemble else "",
            best=None if best is None else (percent(best[0], findings.count), best[1]),
            charts=tuple(_charts(findings.history)),
            columns=columns,
            rows=tuple(tuple(_cell(row.get(key)) for key in columns) for row in findings.history),
        )


def _charts(history: History) -> list[Markup]:
    epochs = [float(row["epoch"]) for row in history if isinstance(row.get("epoch"), (int, float))]
    if len(epochs) != len(history):
        return []

    def column(key: str) -> list[float | None]:
        return [row.get(key) for row in history]

    losses = [Series("training", "train", column("train_loss")), Series("validation", "val", column("val_loss"))]
    charts = (
        line_chart(
            "loss, nats",
            "epoch",
            epochs,
            losses,
            compact,
            log=_spans_decades(losses),
        ),
        line_chart(
            "validation top-1 accuracy",
            "epoch",
            epochs,
            [Series("validation", "val", column("val_top1"))],
            lambda value: f"{100 * value:.4g}%",
        ),
        line_chart(
            "learning rate",
            "epoch",
            epochs,
            [Series("learning rate", "rate", column("learning_rate"))],
            compact,
        ),
    )
    return [chart for chart in charts if chart]


def _spans_decades(series: Sequence[Series]) -> bool:
    """Return whether a linear axis would press all but the largest values flat."""
    known = [value for line in series for value in line.values if value is not None and math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) > 50 * min(known)


def _best(history: History) -> tuple[float, float] | None:
    known = [(row["val_top1"], -row["epoch"]) for row in history if row.get("val_top1") is not None]
    if not known:
        return None
    top, epoch = max(known)
    return top, -epoch


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return "–" if value is None else str(value)
