"""The training curves: losses, accuracy and learning rate by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from markupsafe import Markup

from residua.evaluation.report.sections.section import Link, Subject
from residua.evaluation.report.text import percent
from residua.figures.axes import compact
from residua.figures.lines import Series, line_chart

_DRAWN_UP_TO = 1.5  # times the first loss
History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class CurvesSection:
    """The training curves.

    Attributes:
        member: the member of an ensemble that they belong to, or "".
        measure: what is best: accuracy, or what the recipe kept the best epoch by; of several labels an image, the
            mean average precision.
        best: its best value in the validation, in percent, and its epoch; None without validation.
        charts: drawings.
        columns: names of the history's fields.
        rows: the history as text, one row per epoch.
        rate: the sentence and the drawing of the search for a learning rate; None where there was none.
    """

    member: str
    measure: str
    best: tuple[str, float] | None
    charts: tuple[Markup, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rate: tuple[str, Markup] | None
    template: ClassVar[str] = "curves.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("curves", "Curves"),)

    @classmethod
    def of(cls, findings: Subject) -> Self | None:
        """Return the section of these findings; None without a history."""
        if not findings.history:
            return None
        columns = tuple(dict.fromkeys(key for row in findings.history for key in row))
        key, measure, title = _measure(findings.history, (findings.recipe or {}).get("keep_by"))
        best = _best(findings.history, key)
        return cls(
            member=findings.ensemble.members[0].name if findings.ensemble else "",
            measure=measure,
            best=None if best is None else (percent(best[0], findings.count), best[1]),
            charts=tuple(_charts(findings.history, key, title)),
            columns=columns,
            rows=tuple(tuple(_cell(row.get(key)) for key in columns) for row in findings.history),
            rate=_rate(findings.rate_search),
        )


def _rate(search: Mapping[str, Any] | None) -> tuple[str, Markup] | None:
    """Return what a search for a learning rate has found, and its curve over the logarithm of the rate."""
    try:
        if search is None or len(search["rates"]) != len(search["losses"]):
            return None
        powers = [math.log10(rate) for rate in search["rates"]]
        chosen = search["learning_rate"]
        sentence = f"The loss was lowest at {search['lowest_at']:.2g}. " + (
            "It fell at no rate." if chosen is None else f"Trained with {chosen:g}: {search['rule']}."
        )
        # Where the search ends the loss blows up: drawn, it would press the valley flat.
        highest = _DRAWN_UP_TO * search["losses"][0]
        losses = [Series("loss", "train", [loss if loss <= highest else None for loss in search["losses"]])]
        title = "search of a learning rate: smoothed loss, nats"
        return sentence, line_chart(title, "learning rate, power of 10", powers, losses, compact)
    except (KeyError, TypeError, ValueError, IndexError):
        return None  # not what the search wrote: it decides nothing


def _measure(history: History, keep_by: object) -> tuple[str, str, str]:
    """Return the key of what the validation is judged by, its name, and the title of its chart.

    Args:
        history: of the training.
        keep_by: what its best epoch was chosen by; what the history does not hold is not drawn.
    """
    held = {key for row in history for key in row}
    several = "val_mean_average_precision" in held
    own = {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}.get(str(keep_by), "")
    if own and f"val_{keep_by}" in held:
        return f"val_{keep_by}", own, f"validation {own}"
    if several:
        name = "mean average precision"
        return "val_mean_average_precision", name, f"validation {name}"
    return "val_top1", "accuracy", "validation top-1 accuracy"


def _charts(history: History, key: str, title: str) -> list[Markup]:
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
            title,
            "epoch",
            epochs,
            [Series("validation", "val", column(key))],
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


def _best(history: History, key: str) -> tuple[float, float] | None:
    """Return the best value and its epoch; of equal ones that of the least loss, as training chooses."""
    known = [row for row in history if row.get(key) is not None]
    if not known:
        return None
    best = max(known, key=lambda row: (row[key], -(row.get("val_loss") or 0.0)))
    return best[key], best["epoch"]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return "–" if value is None else str(value)
