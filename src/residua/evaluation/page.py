"""Report -> one offline HTML page, without scripts and without requests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from residua._base.words import some
from residua.evaluation.charts import Series, interval_bar, line_chart
from residua.evaluation.metrics import ClassMetrics, IntArray, wilson

if TYPE_CHECKING:
    from residua.evaluation.report import Report

# Beyond this the matrix would be larger than anyone can read: the classes with most mistakes stand for it.
_MATRIX = 100
_LEVELS = 9
_SIZES = ((5, "huge"), (12, "large"), (30, "medium"), (_MATRIX, "small"))


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix as markup.

    Attributes:
        names: classes shown.
        rows: (class, support, cells as `<td>` markup).
        style: "huge", "large", "medium" or "small" cells; "brief" where every name is short enough to stand
            upright above its column.
        left_out: classes not shown.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, int, Markup], ...]
    style: str
    left_out: int


def render(report: Report) -> str:
    """Return the page as text; every name from outside is escaped."""
    # A hundredth of a percent means something only where a single image is no more than that.
    decimals = 2 if report.count >= 10_000 else 1

    def percent(rate: float) -> str:
        return f"{100 * rate:.{decimals}f}%"

    def short(rate: float) -> str:
        return f"{100 * rate:.1f}%"

    pairs = confused_pairs(report.confusion, report.classes)
    # With two classes the least probable truth is the surest mistake: one list says it all.
    same = [m.index for m in report.most_confident_mistakes] == [
        m.index for m in report.worst[: len(report.most_confident_mistakes)]
    ]
    return _template().render(
        report=report,
        percent=percent,
        short=short,
        number=lambda value: f"{value:,}",
        wrong=int(report.count - np.diagonal(report.confusion).sum()),
        scale=interval_bar(report.top1, *report.top1_interval, report.baseline),
        pairs=pairs,
        findings=_findings(report, pairs, short),
        charts=_charts(report.history),
        best=_best(report.history),
        history_columns=_columns(report.history),
        history_rows=[[_cell(row.get(key)) for key in _columns(report.history)] for row in report.history],
        notes=[_sentence(str(note)) for note in report.data.get("notes", ())],
        evaluated=_sentence(report.data.get("evaluated", "")),
        matrix=_matrix(report.confusion, report.classes),
        class_rows=_class_rows(report.per_class),
        surest=() if same else report.most_confident_mistakes,
        data_name=_data_name(report.data),
        trained_on=_trained_on(report.data),
        data_counts=_data_counts(report.data),
        data_facts=_data_facts(report.data),
        recipe=_flat(report.recipe or {}),
        seconds=_duration(report.history),
    )


def confused_pairs(confusion: IntArray, classes: Sequence[str]) -> list[tuple[str, str, int, float]]:
    """Return (true, predicted, images, share of the true class), the most frequent confusions first."""
    errors = confusion.copy()
    np.fill_diagonal(errors, 0)
    support = confusion.sum(axis=1)
    order = np.argsort(-errors, axis=None, kind="stable")[:6]
    found = []
    for true, predicted in zip(*np.unravel_index(order, errors.shape), strict=True):
        count = int(errors[true, predicted])
        if count:
            found.append((classes[int(true)], classes[int(predicted)], count, count / int(support[true])))
    return found


def _findings(report: Report, pairs: Sequence[tuple[str, str, int, float]], percent: Any) -> list[Markup]:
    """Say in a few sentences what goes wrong."""
    wrong = int(report.count - np.diagonal(report.confusion).sum())
    if not wrong:
        most = percent(1 - report.top1_interval[0])
        text = Markup("None of the {:,} images is classified wrongly: the true error rate may still be up to {}.")
        return [text.format(report.count, most)]
    found = [Markup("<b>{:,} of {:,}</b> images are wrong.").format(wrong, report.count)]
    if pairs and (pairs[0][2] > 1 or len(report.classes) == 2):
        text = Markup("Most often <b>{}</b> is taken for <b>{}</b>: {:,} {}, {} of that class.")
        true, predicted, count, share = pairs[0]
        found.append(text.format(true, predicted, count, "image" if count == 1 else "images", percent(share)))
    present = [row for row in report.per_class if row.support]
    if len(present) > 1:
        weak = min(present, key=_weakness)
        text = Markup("The weakest class is <b>{}</b>: {:,} of {:,} recognised, {}.")
        hits = round(weak.recall * weak.support)
        found.append(text.format(weak.name, hits, weak.support, percent(weak.recall)))
    never = [row.name for row in present if not row.predicted]
    if never:
        found.append(Markup("Never predicted: {}.").format(_listed(never)))
    if report.most_confident_mistakes:
        sure = report.most_confident_mistakes[0]
        text = Markup("The surest mistake gives <b>{}</b> a probability of {}; the image shows <b>{}</b>.")
        found.append(text.format(sure.predicted, percent(sure.probability), sure.true))
    absent = [row.name for row in report.per_class if not row.support]
    if absent:
        found.append(Markup("Without images here, hence not judged: {}.").format(_listed(absent)))
    if report.top1_interval[0] <= report.baseline:
        text = Markup("Not shown to be better than always answering the most frequent class ({}).")
        found.insert(0, text.format(percent(report.baseline)))
    return found


def _charts(history: Sequence[Mapping[str, Any]]) -> list[Markup]:
    xs = [float(row["epoch"]) for row in history if isinstance(row.get("epoch"), (int, float))]
    if len(xs) != len(history):
        return []

    def column(key: str) -> list[float | None]:
        return [row.get(key) for row in history]

    losses = [Series("training", "train", column("train_loss")), Series("validation", "val", column("val_loss"))]
    charts = (
        line_chart(
            "loss, nats",
            "epoch",
            xs,
            losses,
            lambda value: f"{value / 1000:,.0f}k" if value >= 10_000 else f"{value:.3g}",
            log=_spans_decades(losses),
        ),
        line_chart(
            "validation top-1 accuracy",
            "epoch",
            xs,
            [Series("validation", "val", column("val_top1"))],
            lambda value: f"{100 * value:.4g}%",
        ),
        line_chart(
            "learning rate",
            "epoch",
            xs,
            [Series("learning rate", "rate", column("learning_rate"))],
            lambda value: f"{value:.3g}",
        ),
    )
    return [chart for chart in charts if chart]


def _spans_decades(series: Sequence[Series]) -> bool:
    """Whether a linear axis would press all but the largest values flat."""
    known = [value for line in series for value in line.values if value is not None and math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) > 50 * min(known)


def _best(history: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    known = [(row["val_top1"], -row["epoch"]) for row in history if row.get("val_top1") is not None]
    if not known:
        return None
    top, epoch = max(known)
    return top, -epoch


def _matrix(confusion: IntArray, classes: Sequence[str]) -> Matrix:
    shown = np.arange(len(classes))
    if len(classes) > _MATRIX:
        errors = confusion.sum(axis=1) + confusion.sum(axis=0) - 2 * np.diagonal(confusion)
        shown = np.sort(np.argsort(-errors, kind="stable")[: _MATRIX // 2])
    part = confusion[np.ix_(shown, shown)]
    support = confusion.sum(axis=1)[shown]
    names = tuple(classes[int(index)] for index in shown)
    rows = []
    for row, name in enumerate(names):
        whole, wide = int(support[row]), len(names) <= _SIZES[0][0]
        cells = [_matrix_cell(int(part[row, column]), whole, row == column, wide) for column in range(len(names))]
        rows.append((name, int(support[row]), Markup("").join(cells)))
    size = next(word for most, word in _SIZES if len(names) <= most)
    brief = " brief" if max(map(len, names)) <= 3 else ""
    return Matrix(names, tuple(rows), size + brief, len(classes) - len(names))


def _matrix_cell(count: int, whole: int, right: bool, wide: bool) -> Markup:
    if not count:
        return Markup("<td>0") if right and whole else Markup("<td>")
    share = count / whole
    # The root lets a few per cent of errors be seen beside a diagonal near 100%.
    level = max(1, math.ceil(_LEVELS * (share if right else math.sqrt(share))))
    if wide:
        return Markup('<td class="{}{}">{:,} <small>{:.1f}%</small>').format(
            "h" if right else "m", level, count, 100 * share
        )
    return Markup('<td class="{}{}" title="{:.1f}%">{}').format("h" if right else "m", level, 100 * share, count)


def _class_rows(per_class: Iterable[ClassMetrics]) -> list[tuple[ClassMetrics, tuple[float, float]]]:
    """Return each class with its recall's interval: the weakest first, those without images last."""
    rows = [(row, wilson(round(row.recall * row.support), row.support)) for row in per_class]
    return sorted(rows, key=lambda pair: _weakness(pair[0]))


def _weakness(row: ClassMetrics) -> tuple[bool, float, int, str]:
    """Order classes: the least recognised first, of equals the one with more images; those without images last."""
    return row.support == 0, row.recall, -row.support, row.name


def _columns(history: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in history for key in row))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return "–" if value is None else str(value)


def _data_name(data: Mapping[str, Any]) -> str:
    return Path(str(data["given"])).name or str(data["given"]) if "given" in data else "images"


def _trained_on(data: Mapping[str, Any]) -> tuple[str, int] | None:
    trained = data.get("trained_on", data)
    counts = trained.get("counts", {})
    return (_data_name(trained), int(counts["train"])) if "train" in counts else None


def _data_counts(data: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Return (split names, rows of class name and images in each split), the totals first."""
    counts = data.get("class_counts", {})
    splits = list(counts)
    rows = [("all classes", [sum(counts[split]) for split in splits])] if splits else []
    for index, name in enumerate(data.get("classes", ())):
        rows.append((str(name), [counts[split][index] for split in splits]))
    return splits, rows


def _data_facts(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("given", data.get("given")), ("location", data.get("location")), ("hash", data.get("hash"))]
    trained = data.get("trained_on", {})
    if trained.get("hash") not in (None, data.get("hash")):
        facts += [("trained on", trained.get("given")), ("hash of that", trained.get("hash"))]
    return [(name, str(value)) for name, value in facts if value]


def _flat(recipe: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + str(key), _value(value)))
    return rows


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def _duration(history: Sequence[Mapping[str, Any]]) -> str:
    seconds = history[-1].get("seconds") if history else None
    if not isinstance(seconds, (int, float)):
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _listed(names: Sequence[str]) -> Markup:
    return Markup(some([Markup("<bdi>{}</bdi>").format(name) for name in names], 8))


@cache
def _template() -> Template:
    loader = PackageLoader("residua.evaluation", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2")
