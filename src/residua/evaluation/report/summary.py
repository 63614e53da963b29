"""The summary in words and figures: what goes wrong, how sure the network is, what it costs to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from residua._base.words import some
from residua.evaluation.measures.calibration import Calibration
from residua.evaluation.measures.metrics import ClassMetrics

if TYPE_CHECKING:
    from residua.evaluation.report.report import Report


def findings(report: Report, pairs: Sequence[tuple[str, str, int, float]], percent: Any) -> list[Markup]:
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
        weak = min(present, key=weakness)
        text = Markup("The weakest class is <b>{}</b>: {:,} of {:,} recognised, {}.")
        hits = round(weak.recall * weak.support)
        found.append(text.format(weak.name, hits, weak.support, percent(weak.recall)))
    never = [row.name for row in present if not row.predicted]
    if never:
        found.append(Markup("Never predicted: {}.").format(_listed(never)))
    worse = [each for each in report.slices if each.top1_interval[1] < report.top1]
    if worse:
        slice_ = min(worse, key=lambda each: (each.top1_interval[1], each.top1))
        text = Markup("Of {:,} slices, <b>{} {}</b> does worst: {} of {:,} {} ({} to {}).")
        rates = (percent(slice_.top1), slice_.count, "image" if slice_.count == 1 else "images")
        found.append(
            text.format(len(report.slices), slice_.column, slice_.value, *rates, *map(percent, slice_.top1_interval))
        )
    if report.most_confident_mistakes:
        sure = report.most_confident_mistakes[0]
        text = Markup("The surest mistake gives <b>{}</b> a probability of {}; the image shows <b>{}</b>.")
        found.append(text.format(sure.predicted, percent(sure.probability), sure.true))
    if report.absent:
        found.append(Markup("Without images here, and therefore not measured: {}.").format(_listed(report.absent)))
    if report.top1_interval[0] <= report.baseline:
        text = Markup("Not shown to be better than always answering the most frequent class ({}).")
        found.insert(0, text.format(percent(report.baseline)))
    return found


def weakness(row: ClassMetrics) -> tuple[bool, float, int, str]:
    """Order classes: the least recognised first, of equals the one with more images; those without images last."""
    return row.support == 0, row.recall, -row.support, row.name


def _listed(names: Sequence[str]) -> Markup:
    return Markup(some([Markup("<bdi>{}</bdi>").format(name) for name in names], 8))


def duration(history: Sequence[Mapping[str, Any]]) -> str:
    seconds = history[-1].get("seconds") if history else None
    if not isinstance(seconds, (int, float)):
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def sureness(report: Report, percent: Any) -> list[Markup]:
    """Say whether the probabilities mean what they say, and what is won by not answering."""
    if report.calibration is None:
        return []
    sure, (low, high) = mean_confidence(report.calibration), report.top1_interval
    verdict = "it is too sure" if sure > high else "it is less sure than it could be" if sure < low else ""
    verdict = verdict or "as far as so many images can tell, that agrees"
    text = Markup("On average it gives its answers a probability of {}, and {} of them are right: <b>{}</b>.")
    found = [text.format(percent(sure), percent(report.top1), verdict)]
    error = Markup("Expected calibration error: {}").format(percent(report.calibration.ece))
    if report.calibrated:
        text = Markup("; {} with the temperature {:.3f} that the run holds")
        error += text.format(percent(report.calibrated.calibration.ece), report.calibrated.temperature)
    found.append(error + ".")
    half = next((point for point in report.abstention.curve if point[0] >= 0.5), None) if report.abstention else None
    if half is not None and report.top1 < 1 and half[0] < 1:
        text = Markup("Of the surest {} of the images, {} are right.")
        found.append(text.format(percent(half[0]), percent(half[1])))
    return found


def mean_confidence(found: Calibration) -> float:
    """Return the mean probability of the predicted class."""
    return sum(row.count * row.confidence for row in found.bins) / sum(row.count for row in found.bins)


def costs(report: Report) -> list[tuple[str, str, str]]:
    """Return (quantity, value, remark) of what it takes to run the network; what is not known is left out."""
    model, where = report.model, report.environment
    one_view = "" if report.views == "1" else "of one view"
    rows = [("parameters", scaled(model["parameters"]), "")]
    if model.get("macs"):
        rows.append(("multiply-accumulates an image", scaled(model["macs"]), one_view))
    if model.get("weights_bytes"):
        rows.append(("weights", f"{model['weights_bytes'] / 1e6:.3g} MB", ""))
    # Of several passes some may come from the cache: their seconds are another day's.
    alone = report.ensemble is None and "," not in report.views
    if alone and report.seconds and not report.cached:
        rows.append(("images a second", f"{report.count / report.seconds:,.0f}", "reading them included"))
    device = where.get("device", "")
    machine = where.get("processor", "") if device in ("", "cpu") else device
    if machine:
        rows.append(("machine", machine, f"threads: {where['threads']}" if "threads" in where else ""))
    return rows


def scaled(count: float) -> str:
    """Return a count in figures, from a million on to three digits: 75,290; 4.09 billion."""
    for size, word in ((1e9, " billion"), (1e6, " million")):
        if count >= size * 0.9995:
            return f"{count / size:.3g}{word}"
    return f"{count:,.0f}"
