"""The summary: the accuracy, what goes wrong, how sure the network is, and what it costs to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from markupsafe import Markup

from residua._base.words import agree
from residua.evaluation.measures.calibration import Calibration
from residua.evaluation.measures.metrics import ClassMetrics
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.matrix import confused_pairs
from residua.evaluation.report.sections.section import Link
from residua.evaluation.report.text import data_name, duration, listed, number, percent, scaled, sentence
from residua.figures.intervals import interval_bar

Figure = tuple[str, str, str]
"""(quantity, value, remark)."""


@dataclass(frozen=True)
class SummarySection:
    """The summary.

    Attributes:
        top1: accuracy, in percent.
        interval: its 95% interval, in percent.
        scale: a drawing of both and of the baseline.
        count: images.
        split: the part that they are from, or "".
        members: networks whose probabilities are averaged; 0 for a single one.
        model: description of the network.
        classes: number of classes.
        trained_on: name of the training data and number of its images, or None.
        epochs: of the training; 0 where its history is not known.
        seconds: duration of the training, or "".
        evaluated: whether the run has seen these images, sentences.
        mistakes: what goes wrong, sentences.
        sureness: whether probabilities agree with the share of right answers, sentences.
        remarks: caveats, sentences.
        figures: the other rates.
        costs: what it takes to run the network.
    """

    top1: str
    interval: tuple[str, str]
    scale: Markup
    count: int
    split: str
    members: int
    model: Mapping[str, Any]
    classes: int
    trained_on: tuple[str, int] | None
    epochs: int
    seconds: str
    evaluated: str
    mistakes: tuple[Markup, ...]
    sureness: tuple[Markup, ...]
    remarks: tuple[str, ...]
    figures: tuple[Figure, ...]
    costs: tuple[Figure, ...]
    template: ClassVar[str] = "summary.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("summary", "Summary"),)

    @classmethod
    def of(cls, found: Findings) -> Self:
        """Return the section of these findings."""
        low, high = found.top1_interval
        seconds = found.history[-1].get("seconds") if found.history else None
        return cls(
            top1=percent(found.top1, found.count),
            interval=(percent(low, found.count), percent(high, found.count)),
            scale=interval_bar(found.top1, low, high, found.baseline),
            count=found.count,
            split=found.split,
            members=len(found.ensemble.members) if found.ensemble else 0,
            model=found.model,
            classes=len(found.classes),
            trained_on=_trained_on(found.data),
            epochs=len(found.history),
            seconds=duration(seconds) if isinstance(seconds, (int, float)) else "",
            evaluated=sentence(found.data.get("evaluated", "")),
            mistakes=tuple(_mistakes(found)),
            sureness=tuple(_sureness(found)),
            remarks=tuple(sentence(remark) for remark in found.remarks),
            figures=tuple(_figures(found)),
            costs=tuple(_costs(found)),
        )


def _trained_on(data: Mapping[str, Any]) -> tuple[str, int] | None:
    trained = data.get("trained_on", data)
    counts = trained.get("counts", {})
    return (data_name(trained), int(counts["train"])) if "train" in counts else None


def _mistakes(found: Findings) -> list[Markup]:
    """Return what goes wrong, in a few sentences."""
    if not found.wrong:
        most = percent(1 - found.top1_interval[0])
        text = Markup("None of the {:,} {} is classified wrongly: the true error rate may still be up to {}.")
        return [text.format(found.count, _images(found.count), most)]
    sentences = [
        Markup("<b>{:,} of {:,}</b> {} {} wrong.").format(
            found.wrong, found.count, _images(found.count), agree(found.wrong, "is", "are")
        )
    ]
    pairs = confused_pairs(found.confusion, found.classes)
    if pairs and (pairs[0][2] > 1 or len(found.classes) == 2):
        text = Markup("Most often <b>{}</b> is taken for <b>{}</b>: {:,} {}, {} of that class.")
        true, predicted, count, share = pairs[0]
        sentences.append(text.format(true, predicted, count, _images(count), percent(share)))
    present = [row for row in found.per_class if row.support]
    if len(present) > 1:
        weak = min(present, key=weakness)
        text = Markup("The weakest class is <b>{}</b>: {:,} of {:,} recognised, {}.")
        hits = round(weak.recall * weak.support)
        sentences.append(text.format(weak.name, hits, weak.support, percent(weak.recall)))
    never = [row.name for row in present if not row.predicted]
    if never:
        sentences.append(Markup("Never predicted: {}.").format(listed(never)))
    worse = [each for each in found.slices if each.top1_interval[1] < found.top1]
    if worse:
        slice_ = min(worse, key=lambda each: (each.top1_interval[1], each.top1))
        text = Markup("Of {:,} slices, <b>{} {}</b> does worst: {} of {:,} {} ({} to {}).")
        rates = (percent(slice_.top1), slice_.count, _images(slice_.count))
        low, high = map(percent, slice_.top1_interval)
        sentences.append(text.format(len(found.slices), slice_.column, slice_.value, *rates, low, high))
    if found.most_confident_mistakes:
        surest = found.most_confident_mistakes[0]
        text = Markup("The surest mistake gives <b>{}</b> a probability of {}; the image shows <b>{}</b>.")
        sentences.append(text.format(surest.predicted, percent(surest.probability), surest.true))
    if found.absent:
        sentences.append(Markup("Without images here, and therefore not measured: {}.").format(listed(found.absent)))
    if found.top1_interval[0] <= found.baseline:
        text = Markup("Not shown to be better than always answering the most frequent class ({}).")
        sentences.insert(0, text.format(percent(found.baseline)))
    return sentences


def weakness(row: ClassMetrics) -> tuple[bool, float, int, str]:
    """Return the sort key of a class: the least recognised first, then the larger; those without images last."""
    return row.support == 0, row.recall, -row.support, row.name


def _sureness(found: Findings) -> list[Markup]:
    """Return whether probabilities agree with the share of right answers, and the gain of not answering."""
    if found.calibration is None:
        return []
    confidence, (low, high) = _mean_confidence(found.calibration), found.top1_interval
    verdict = "as far as so many images can show, that agrees"
    if not low <= confidence <= high:
        verdict = "it is too sure" if confidence > high else "it is less sure than it could be"
    text = Markup("On average it gives its answers a probability of {}, and {} of them are right: <b>{}</b>.")
    sentences = [text.format(percent(confidence), percent(found.top1), verdict)]
    error = Markup("Expected calibration error: {}").format(percent(found.calibration.ece))
    if found.calibrated:
        text = Markup("; {} with the temperature {:.3f} that the run holds")
        error += text.format(percent(found.calibrated.calibration.ece), found.calibrated.temperature)
    sentences.append(error + ".")
    half = next((point for point in found.abstention.curve if point[0] >= 0.5), None) if found.abstention else None
    if half is not None and found.top1 < 1 and half[0] < 1:
        text = Markup("Of the surest {} of the images, {} are right.")
        sentences.append(text.format(percent(half[0]), percent(half[1])))
    return sentences


def _mean_confidence(found: Calibration) -> float:
    """Return the mean probability of the predicted class."""
    return sum(row.count * row.confidence for row in found.bins) / sum(row.count for row in found.bins)


def _figures(found: Findings) -> list[Figure]:
    rows = [("top-5", percent(found.top5, found.count), "")] if len(found.classes) > 5 else []
    rows += [
        ("loss, nats", f"{found.loss:.4f}", ""),
        ("balanced accuracy", percent(found.balanced_accuracy, found.count), ""),
        ("macro F1", percent(found.macro_f1, found.count), ""),
    ]
    if found.calibration:
        rows.append(("calibration error", percent(found.calibration.ece, found.count), ""))
    if found.brier is not None:
        rows.append(("Brier score", f"{found.brier:.4f}", ""))
    if found.views != "1":
        rows.append(("views", found.views, ""))
    return [*rows, ("wrong", number(found.wrong), f"of {number(found.count)}")]


def _costs(found: Findings) -> list[Figure]:
    """Return what it takes to run the network; what is not known is left out."""
    model, where = found.model, found.environment
    one_view = "" if found.views == "1" else "of one view"
    rows = [("parameters", scaled(model["parameters"]), "")]
    if model.get("macs"):
        rows.append(("multiply-accumulates per image", scaled(model["macs"]), one_view))
    if model.get("weights_bytes"):
        rows.append(("weights", f"{model['weights_bytes'] / 1e6:.3g} MB", ""))
    # Of several passes some may come from the cache, whose seconds were measured on another day.
    alone = found.ensemble is None and "," not in found.views
    if alone and found.seconds and not found.cached:
        rows.append(("images per second", f"{found.count / found.seconds:,.0f}", "reading them included"))
    device = where.get("device", "")
    machine = where.get("processor", "") if device in ("", "cpu") else device
    if machine:
        rows.append(("machine", machine, f"threads: {where['threads']}" if "threads" in where else ""))
    return rows


def _images(count: int) -> str:
    return "image" if count == 1 else "images"
