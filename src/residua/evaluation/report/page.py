"""Report -> one offline HTML page, without scripts and without requests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from residua.evaluation.measures.metrics import ClassMetrics, wilson
from residua.evaluation.measures.slices import Slice
from residua.evaluation.report.diagrams import bin_rows, coverage_chart, reliability_diagram
from residua.evaluation.report.matrix import confused_pairs, confusion_matrix
from residua.evaluation.report.study_section import FinishedStudy
from residua.evaluation.report.summary import costs, duration, findings, sureness, weakness
from residua.figures.charts import Series, interval_bar, line_chart

if TYPE_CHECKING:
    from residua.evaluation.report.report import Report

# More rows than anyone reads; report.json has them all.
_SLICES = 300


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
        findings=findings(report, pairs, short),
        sureness=sureness(report, short),
        costs=costs(report),
        remarks=[_sentence(remark) for remark in report.remarks],
        charts=_charts(report.history),
        best=_best(report.history),
        history_columns=_columns(report.history),
        history_rows=[[_cell(row.get(key)) for key in _columns(report.history)] for row in report.history],
        notes=[_sentence(str(note)) for note in report.data.get("notes", ()) if note not in report.remarks],
        evaluated=_sentence(report.data.get("evaluated", "")),
        matrix=confusion_matrix(report.confusion, report.classes),
        class_rows=_class_rows(report.per_class),
        surest=() if same else report.most_confident_mistakes,
        reliability=_reliability(report),
        bin_rows=bin_rows,
        by_chance=_by_chance(report),
        equal_weights=len({member.weight for member in report.ensemble.members}) == 1 if report.ensemble else False,
        coverage=coverage_chart(report.abstention) if report.abstention and report.top1 < 1 else "",
        coverage_rows=_coverage_rows(report),
        slice_rows=_slice_rows(report.slices),
        slice_count=len(report.slices),
        studies=[(study, _relation(study, report)) for study in report.studies],
        data_name=_data_name(report.data),
        trained_on=_trained_on(report.data),
        data_counts=_data_counts(report.data),
        data_facts=_data_facts(report.data),
        recipe=_flat(report.recipe or {}),
        seconds=duration(report.history),
    )


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


def _reliability(report: Report) -> list[Markup]:
    if report.calibration is None:
        return []
    if report.calibrated is None:
        return [reliability_diagram("share of right answers", report.calibration)]
    after = f"with the temperature {report.calibrated.temperature:.3f}"
    return [
        reliability_diagram("as the network gives them", report.calibration),
        reliability_diagram(after, report.calibrated.calibration),
    ]


def _by_chance(report: Report) -> float:
    """The ECE that a perfectly calibrated network would show on about as many images: bins' mean |normal deviate|."""
    if report.calibration is None:
        return 0.0
    spread = (math.sqrt(row.count * row.confidence * max(1 - row.confidence, 0)) for row in report.calibration.bins)
    return math.sqrt(2 / math.pi) * math.fsum(spread) / report.count


def _coverage_rows(report: Report) -> list[tuple[float, float]]:
    """Return about ten points of the curve, the surest images first: the table beside the chart."""
    if report.abstention is None:
        return []
    curve = report.abstention.curve
    tenths = [next(point for point in curve if point[0] >= tenth / 10 - 1e-9) for tenth in range(1, 11)]
    return list(dict.fromkeys(tenths))


def _slice_rows(slices: Sequence[Slice]) -> list[tuple[bool, Slice]]:
    """Return (whether its column begins, slice); of very many those that may be weakest."""
    kept = set(sorted(range(len(slices)), key=lambda at: slices[at].top1_interval[1])[:_SLICES])
    shown = [each for at, each in enumerate(slices) if at in kept]
    return [(at == 0 or shown[at - 1].column != each.column, each) for at, each in enumerate(shown)]


def _class_rows(per_class: Iterable[ClassMetrics]) -> list[tuple[ClassMetrics, tuple[float, float]]]:
    """Return each class with its recall's interval: the weakest first, those without images last."""
    rows = [(row, wilson(round(row.recall * row.support), row.support)) for row in per_class]
    return sorted(rows, key=lambda pair: weakness(pair[0]))


def _columns(history: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in history for key in row))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return "–" if value is None else str(value)


def _relation(study: FinishedStudy, report: Report) -> dict[str, Any]:
    """Say what a study has to do with the run: its very network, its data, or neither."""
    trained = report.data.get("trained_on") or report.data
    same = trained.get("hash") == study.data_hash
    if not same:
        given, own = study.given, trained.get("given", "other data")
        text = Markup(
            "Mind: the study was done on other data, <b>{}</b>, than this run, which was trained on <b>{}</b>."
        )
        return {"other": True, "text": text.format(given, _data_name({"given": own}))}
    if set(study.weights) & set(str(report.model.get("weights_sha256", "")).split(", ")):
        return {"other": False, "text": "It measured this very network, on the data of this run."}
    return {"other": False, "text": "It is about networks of its own, on the data of this run."}


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
            rows.append((prefix + str(key), shown(value)))
    return rows


def shown(value: Any) -> str:
    """Return a field of a recipe as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


@cache
def _template() -> Template:
    loader = PackageLoader("residua.evaluation.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2")
