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
from residua.evaluation.report.headline import headline
from residua.evaluation.report.matrix import confused_pairs
from residua.evaluation.report.sections.section import Link, Subject
from residua.evaluation.report.text import data_name, duration, listed, number, percent, scaled, sentence
from residua.figures.intervals import interval_bar
from residua.figures.pages import unbroken

_CALIBRATE = "residua evaluate RUN --calibrate"
_RECALLS = 10  # of the classes, in the summary; the page lists all of them below
Figure = tuple[str, str, str]
"""(quantity, value, remark)."""


@dataclass(frozen=True)
class SummarySection:
    """The summary.

    Attributes:
        measure: what is stated first: accuracy, or balanced accuracy where classes are uneven.
        rate: its value, in percent.
        interval: its 95% interval, in percent.
        scale: a drawing of both and of the baseline.
        recalls: of each class where classes are uneven, the lowest first: name, recall, images; else ().
        count: images.
        split: the part that they are from, or "".
        members: networks whose probabilities are averaged; 0 for a single one.
        model: description of the network.
        classes: number of classes.
        trained_on: name of the training data and number of its images, or None.
        folds: runs of a cross-validation, each trained on all but its fold; 0 for any other evaluation.
        epochs: of the training; 0 where its history is not known.
        seconds: duration of the training, or "".
        evaluated: whether the run has seen these images, sentences.
        mistakes: what goes wrong, sentences.
        sureness: whether probabilities agree with the share of right answers, sentences.
        remarks: caveats, sentences.
        figures: the other rates.
        costs: what it takes to run the network.
    """

    measure: str
    rate: str
    interval: tuple[str, str]
    scale: Markup
    recalls: tuple[tuple[str, str, int], ...]
    count: int
    split: str
    members: int
    model: Mapping[str, Any]
    classes: int
    trained_on: tuple[str, int] | None
    folds: int
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
    def of(cls, findings: Findings) -> Self:
        """Return the section of these findings."""
        first = headline(findings)
        name, value, (low, high) = (
            "balanced accuracy" if first.balanced else "top-1 accuracy",
            first.value,
            first.interval,
        )
        seconds = findings.history[-1].get("seconds") if findings.history else None
        return cls(
            measure=name,
            rate=percent(value, findings.count),
            interval=(percent(low, findings.count), percent(high, findings.count)),
            scale=interval_bar(value, low, high, first.baseline, name),
            recalls=tuple(_recalls(findings)) if findings.uneven else (),
            count=findings.count,
            split=findings.split,
            members=len(findings.ensemble.members) if findings.ensemble else 0,
            model=findings.model,
            classes=len(findings.classes),
            trained_on=trained_on(findings.data),
            folds=int(findings.data.get("cross_validation", 0)),
            epochs=len(findings.history),
            seconds=duration(seconds) if isinstance(seconds, (int, float)) else "",
            evaluated=sentence(findings.data.get("evaluated", "")),
            mistakes=tuple(_mistakes(findings)),
            sureness=tuple(_sureness(findings)),
            remarks=tuple(sentence(remark) for remark in findings.remarks),
            figures=tuple(_figures(findings)),
            costs=tuple(costs(findings)),
        )


def _recalls(findings: Findings) -> list[tuple[str, str, int]]:
    rows = sorted((row for row in findings.per_class if row.support), key=weakness)
    return [(row.name, percent(row.recall), row.support) for row in rows[:_RECALLS]]


def trained_on(data: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return the name of the training data and the number of its images; None where they are not known."""
    trained = data.get("trained_on", data)
    counts = trained.get("counts", {})
    return (data_name(trained), int(counts["train"])) if "train" in counts else None


def _mistakes(findings: Findings) -> list[Markup]:
    """Return what goes wrong, in a few sentences."""
    if not findings.wrong:
        most = percent(1 - findings.top1_interval[0])
        text = Markup("None of the {:,} {} is classified wrongly: the true error rate may still be up to {}.")
        return [text.format(findings.count, _images(findings.count), most)]
    sentences = [
        Markup("<b>{:,} of {:,}</b> {} {} wrong.").format(
            findings.wrong, findings.count, _images(findings.count), agree(findings.wrong, "is", "are")
        )
    ]
    pairs = confused_pairs(findings.confusion, findings.classes)
    if pairs and (pairs[0][2] > 1 or len(findings.classes) == 2):
        text = Markup("Most often <b>{}</b> is taken for <b>{}</b>: {:,} {}, {} of that class.")
        true, predicted, count, share = pairs[0]
        sentences.append(text.format(true, predicted, count, _images(count), percent(share)))
    present = [row for row in findings.per_class if row.support]
    if len(present) > 1:
        weak = min(present, key=weakness)
        text = Markup("The weakest class is <b>{}</b>: {:,} of {:,} recognised, {}.")
        hits = round(weak.recall * weak.support)
        sentences.append(text.format(weak.name, hits, weak.support, percent(weak.recall)))
    never = [row.name for row in present if not row.predicted]
    if never:
        sentences.append(Markup("Never predicted: {}.").format(listed(never)))
    worse = [each for each in findings.slices if each.top1_interval[1] < findings.top1]
    if worse:
        slice_ = min(worse, key=lambda each: (each.top1_interval[1], each.top1))
        text = Markup("Of {:,} slices, <b>{} {}</b> does worst: {} of {:,} {} ({} to {}).")
        rates = (percent(slice_.top1), slice_.count, _images(slice_.count))
        low, high = map(percent, slice_.top1_interval)
        sentences.append(text.format(len(findings.slices), slice_.column, slice_.value, *rates, low, high))
    if findings.most_confident_mistakes:
        surest = findings.most_confident_mistakes[0]
        text = Markup("The surest mistake gives <b>{}</b> a probability of {}; the image shows <b>{}</b>.")
        sentences.append(text.format(surest.predicted, percent(surest.probability), surest.true))
    if findings.absent:
        sentences.append(Markup("Without images here, and therefore not measured: {}.").format(listed(findings.absent)))
    if findings.top1_interval[0] <= findings.baseline:
        text = Markup("Not shown to be better than always answering the most frequent class ({}).")
        sentences.insert(0, text.format(percent(findings.baseline)))
    return sentences


def weakness(row: ClassMetrics) -> tuple[bool, float, int, str]:
    """Return the sort key of a class: the least recognised first, then the larger; those without images last."""
    return row.support == 0, row.recall, -row.support, row.name


def _sureness(findings: Findings) -> list[Markup]:
    """Return whether probabilities agree with the share of right answers, and the gain of not answering."""
    if findings.calibration is None:
        return []
    confidence, (low, high) = _mean_confidence(findings.calibration), findings.top1_interval
    verdict = "as far as so many images can show, that agrees"
    if not low <= confidence <= high:
        verdict = "it is too sure" if confidence > high else "it is less sure than it could be"
    text = Markup("On average it gives its answers a probability of {}, and {} of them are right: <b>{}</b>.")
    sentences = [text.format(percent(confidence), percent(findings.top1), verdict)]
    if not low <= confidence <= high and findings.calibrated is None:
        smoothed = (findings.recipe or {}).get("label_smoothing") and confidence < low
        text = Markup("{}<code>{}</code> fits one number that corrects it, on validation images.")
        why = "Label smoothing while training does this. " if smoothed else ""
        sentences.append(text.format(why, unbroken(_CALIBRATE)))
    error = Markup("Expected calibration error: {}").format(percent(findings.calibration.ece))
    if findings.calibrated:
        text = Markup("; {} with the temperature {:.3f} that the run holds")
        error += text.format(percent(findings.calibrated.calibration.ece), findings.calibrated.temperature)
    sentences.append(error + ".")
    half = (
        next((point for point in findings.abstention.curve if point[0] >= 0.5), None) if findings.abstention else None
    )
    if half is not None and findings.top1 < 1 and half[0] < 1:
        text = Markup("Of the surest {} of the images, {} are right.")
        sentences.append(text.format(percent(half[0]), percent(half[1])))
    return sentences


def _mean_confidence(calibration: Calibration) -> float:
    """Return the mean probability of the predicted class."""
    return sum(row.count * row.confidence for row in calibration.bins) / sum(row.count for row in calibration.bins)


def _figures(findings: Findings) -> list[Figure]:
    rows = [("top-5", percent(findings.top5, findings.count), "")] if len(findings.classes) > 5 else []
    balanced = ("balanced accuracy", percent(findings.balanced_accuracy, findings.count), "")
    macro, loss = (
        ("macro F1", percent(findings.macro_f1, findings.count), ""),
        ("loss, nats", f"{findings.loss:.4f}", ""),
    )
    if findings.uneven:
        ends = " to ".join(percent(end, findings.count) for end in findings.top1_interval)
        rows = [macro, ("top-1", percent(findings.top1, findings.count), ends), *rows, loss]
    else:
        rows += [loss, balanced, macro]
    if findings.calibration:
        rows.append(("calibration error", percent(findings.calibration.ece, findings.count), ""))
    if findings.brier is not None:
        rows.append(("Brier score", f"{findings.brier:.4f}", ""))
    if findings.views != "1":
        rows.append(("views", findings.views, ""))
    return [*rows, ("wrong", number(findings.wrong), f"of {number(findings.count)}")]


def costs(findings: Subject) -> list[Figure]:
    """Return what it takes to run the network; what is not known is left out."""
    model, where = findings.model, findings.environment
    one_view = "" if findings.views == "1" else "of one view"
    rows = [("parameters", scaled(model["parameters"]), "")]
    if model.get("macs"):
        rows.append(("multiply-accumulates per image", scaled(model["macs"]), one_view))
    if model.get("weights_bytes"):
        rows.append(("weights", f"{model['weights_bytes'] / 1e6:.3g} MB", ""))
    # Of several passes some may come from the cache, whose seconds were measured on another day.
    alone = findings.ensemble is None and "," not in findings.views
    if alone and findings.seconds and not findings.cached:
        rows.append(("images per second", f"{findings.count / findings.seconds:,.0f}", "reading them included"))
    device = where.get("device", "")
    machine = where.get("processor", "") if device in ("", "cpu") else device
    if machine:
        rows.append(("machine", machine, f"threads: {where['threads']}" if "threads" in where else ""))
    return rows


def _images(count: int) -> str:
    return "image" if count == 1 else "images"
