"""The sections of the page that are about several labels an image: summary, labels, mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from markupsafe import Markup

from residua._base.words import counted
from residua.evaluation.multilabel.findings import LabelMistake, MultilabelFindings
from residua.evaluation.multilabel.label_metrics import LabelMetrics
from residua.evaluation.report.sections.section import Link
from residua.evaluation.report.sections.summary import Figure, costs, trained_on
from residua.evaluation.report.text import duration, listed, percent, sentence
from residua.figures.intervals import interval_bar


@dataclass(frozen=True)
class LabelSummary:
    """The summary.

    Attributes:
        rate: the mean average precision, in percent.
        interval: its 95% interval, in percent.
        scale: a drawing of both and of guessing.
        count: images.
        split: the part that they are from, or "".
        model: description of the network.
        labels: number of labels.
        trained_on: name of the training data and number of its images, or None.
        epochs: of the training; 0 where its history is not known.
        seconds: duration of the training, or "".
        evaluated: whether the run has seen these images, sentences.
        thresholds: how the thresholds were chosen, a sentence.
        mistakes: what goes wrong, sentences.
        remarks: caveats, sentences.
        figures: the other rates.
        costs: what it takes to run the network.
    """

    rate: str
    interval: tuple[str, str]
    scale: Markup
    count: int
    split: str
    model: Mapping[str, Any]
    labels: int
    trained_on: tuple[str, int] | None
    epochs: int
    seconds: str
    evaluated: str
    thresholds: str
    mistakes: tuple[Markup, ...]
    remarks: tuple[str, ...]
    figures: tuple[Figure, ...]
    costs: tuple[Figure, ...]
    template: ClassVar[str] = "label_summary.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("summary", "Summary"),)

    @classmethod
    def of(cls, findings: MultilabelFindings) -> Self:
        """Return the section of these findings."""
        value, (low, high) = findings.mean_average_precision, findings.mean_average_precision_interval
        seconds = findings.history[-1].get("seconds") if findings.history else None
        return cls(
            rate=percent(value, findings.count),
            interval=(percent(low, findings.count), percent(high, findings.count)),
            scale=interval_bar(
                value, low, high, findings.baseline, "mean average precision", "guessing by the share of each label"
            ),
            count=findings.count,
            split=findings.split,
            model=findings.model,
            labels=len(findings.classes),
            trained_on=trained_on(findings.data),
            epochs=len(findings.history),
            seconds=duration(seconds) if isinstance(seconds, int | float) else "",
            evaluated=sentence(findings.data.get("evaluated", "")),
            thresholds=how_chosen(findings),
            mistakes=tuple(_mistakes(findings)),
            remarks=tuple(sentence(remark) for remark in findings.remarks),
            figures=tuple(_figures(findings)),
            costs=tuple(costs(findings)),
        )


@dataclass(frozen=True)
class LabelsSection:
    """The table of labels.

    Attributes:
        rows: those with the least average precision first, those that no image has last.
    """

    rows: tuple[LabelMetrics, ...]
    template: ClassVar[str] = "labels.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("labels", "Labels"),)

    @classmethod
    def of(cls, findings: MultilabelFindings) -> Self:
        """Return the section of these findings."""
        return cls(tuple(weakest_first(findings.per_label)))


@dataclass(frozen=True)
class LabelMistakesSection:
    """Images with labels that were missed or given wrongly.

    Attributes:
        missed: labels that images have and were not given.
        wrong: labels that images were given and do not have.
        pixelated: whether the images are so small that their pixels are drawn as squares.
    """

    missed: tuple[LabelMistake, ...]
    wrong: tuple[LabelMistake, ...]
    pixelated: bool
    template: ClassVar[str] = "label_mistakes.html.j2"

    @property
    def links(self) -> tuple[Link, ...]:
        """Its entry in the navigation."""
        return (("missed" if self.missed else "wrong", "Mistakes"),)

    @classmethod
    def of(cls, findings: MultilabelFindings) -> Self | None:
        """Return the section of these findings; None without mistakes."""
        if not findings.missed and not findings.wrong:
            return None
        return cls(findings.missed, findings.wrong, bool(np.max(findings.model["input_size"]) <= 64))


def weakest_first(rows: tuple[LabelMetrics, ...]) -> list[LabelMetrics]:
    """Return the labels from the least average precision on, those that no image has last."""
    return sorted(rows, key=lambda row: (row.average_precision is None, row.average_precision or 0.0, row.name))


def how_chosen(findings: MultilabelFindings) -> str:
    """Return a sentence on the thresholds."""
    chosen = findings.thresholds
    if not chosen.count:
        return (
            "An image is given a label from a probability of one half on: there were no images to choose thresholds on."
        )
    return (
        "An image is given a label from the label's own threshold on: the probability with the greatest F1 on "
        f"{counted(chosen.count, 'image')} of the {chosen.split} part."
    )


def _mistakes(findings: MultilabelFindings) -> list[Markup]:
    count = findings.count
    exact, (low, high) = findings.exact_match, map(percent, findings.exact_match_interval)
    sentences = [
        Markup("<b>{}</b> of the images are given exactly their labels (95% interval {} to {}).").format(
            percent(exact, count), low, high
        ),
        Markup("Of the labels given, {} are right; of the labels that images have, {} are given.").format(
            percent(findings.micro_precision, count), percent(findings.micro_recall, count)
        ),
    ]
    known = [row for row in weakest_first(findings.per_label) if row.average_precision is not None]
    if len(known) > 1:
        text = Markup("The weakest label is <b>{}</b>: average precision {}, and {} of its {:,} images are given it.")
        weak = known[0]
        sentences.append(
            text.format(weak.name, percent(weak.average_precision or 0), percent(weak.recall), weak.support)
        )
    if never := [row.name for row in known if not row.predicted]:
        sentences.append(Markup("Never given: {}.").format(listed(never)))
    if findings.absent:
        sentences.append(
            Markup("On no image here, and their average precision not measured: {}.").format(listed(findings.absent))
        )
    if findings.mean_average_precision_interval[0] <= findings.baseline:
        sentences.insert(0, Markup("Not shown to be better than guessing ({}).").format(percent(findings.baseline)))
    return sentences


def _figures(findings: MultilabelFindings) -> list[Figure]:
    count = findings.count
    rows = [
        ("macro F1", percent(findings.macro_f1, count), "mean over labels"),
        ("micro F1", percent(findings.micro_f1, count), "of all decisions together"),
        ("exact match", percent(findings.exact_match, count), ""),
        ("wrong decisions", percent(findings.hamming_loss, count), "of all pairs of image and label"),
        ("loss, nats", f"{findings.loss:.4f}", "binary, mean over labels"),
    ]
    return rows + ([("views", findings.views, "")] if findings.views != "1" else [])
