"""Compare runs of several labels an image on the same images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from residua._base.errors import InputError
from residua._base.plain import plain
from residua._base.words import some
from residua.anatomy.inspect import inspect
from residua.evaluation.ensemble_runs import names_of
from residua.evaluation.measures.significance import holm
from residua.evaluation.multilabel.average_precision import paired_difference
from residua.evaluation.multilabel.label_metrics import MultilabelMetrics, multilabel_metrics
from residua.evaluation.relation import overlap, relation
from residua.evaluation.report.history import read_history
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scorer import open_scorer
from residua.evaluation.scores.scores import Scores
from residua.evaluation.scores.seen import check_unseen
from residua.weights.run import Run


@dataclass(frozen=True)
class LabelRow:
    """One run; rates are fractions of 1.

    Attributes:
        name: the name of its folder.
        model: the name of its network.
        parameters: the number of its parameters.
        macs: multiply-accumulates per image at the run's input size.
        input_size: side of the images, pixels; (height, width) of oblong ones.
        mean_average_precision: mean over the labels that some image has.
        mean_average_precision_interval: its 95% interval.
        macro_f1: mean F1 over the labels that occur, at the run's own thresholds.
        micro_f1: F1 of all decisions together.
        exact_match: share of images that were given exactly their labels.
        average_precisions: of each label, in the order of `LabelComparison.classes`; None for one that no image has.
        loss: mean binary cross-entropy over images and labels, nats.
        train_seconds: duration of its training, from its history; None without one.
        seconds: wall clock of this pass, or of the earlier one whose scores were cached; data included.
        images_per_second: rate of this pass; None where the scores were cached, since the machine's load then differed.
    """

    name: str
    model: str
    parameters: int
    macs: int
    input_size: int | tuple[int, int]
    mean_average_precision: float
    mean_average_precision_interval: tuple[float, float]
    macro_f1: float
    micro_f1: float
    exact_match: float
    average_precisions: tuple[float | None, ...]
    loss: float
    train_seconds: float | None
    seconds: float
    images_per_second: float | None


@dataclass(frozen=True)
class LabelDifference:
    """Two runs on the same images.

    Attributes:
        first: name of one run.
        second: name of the other.
        difference: mean average precision of the first less that of the second.
        interval: its 95% interval, from the same resamples of the images for both.
        p: two-sided, of a normal test with the same standard error.
        adjusted_p: adjusted for the number of pairs compared (Holm 1979).
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float]
    p: float
    adjusted_p: float


@dataclass(frozen=True)
class LabelComparison:
    """Runs of several labels an image side by side.

    Attributes:
        data: the data set that they were scored on.
        split: the part of it.
        evaluated: a sentence on whether the first run has seen these images.
        warning: a sentence where some run was trained on scored images, byte for byte; else "".
        unchecked: a sentence where that is not known of a run, and why; else "".
        views: view sets.
        count: images.
        classes: names of the labels, in the order of the first run.
        runs: one row per run, in the order given.
        differences: one entry per pair.
        notes: caveats, sentences.
    """

    data: str
    split: str
    evaluated: str
    warning: str
    unchecked: str
    views: str
    count: int
    classes: tuple[str, ...]
    runs: tuple[LabelRow, ...]
    differences: tuple[LabelDifference, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        document: dict[str, Any] = plain(self)
        return document


def compare_labels(runs: Sequence[Run], options: ScoreOptions) -> LabelComparison:
    """Score runs of several labels on the same images and test every pair.

    Raises:
        InputError: a run of one label among them; labels that differ; a run that has learnt from these images.
    """
    if single := [run.name for run in runs if run.multilabel is None]:
        raise InputError(
            f"{single[0]}, a run of one label an image, beside a run of several",
            "runs of one kind",
            "Leave this run out",
        )
    first, scorer = runs[0], open_scorer(runs, options)
    notes = [
        note for run in runs if (note := check_unseen(run, scorer.dataset, scorer.split, "score it", compared=True))
    ]
    names, rows = names_of(runs), []
    every = [scorer.aligned(scorer.scores(run), run, first) for run in runs]
    for name, run, scores in zip(names, runs, every, strict=True):
        assert run.multilabel is not None
        order = [run.classes.index(label) for label in first.classes]
        thresholds = [run.multilabel.thresholds[index] for index in order]
        rows.append(
            _row(name, run, scores, multilabel_metrics(scores.logits, scores.labels, thresholds, first.classes))
        )
    absent = [label for label, ap in zip(first.classes, rows[0].average_precisions, strict=True) if ap is None]
    notes += [f"on no image here, and therefore not measured: {some(absent, 12)}"] * bool(absent)
    notes += [*scorer.dataset.notes, *every[0].notes(scorer.split)]
    shared = overlap(runs, names, scorer)
    pairs = list(itertools.combinations(range(len(runs)), 2))
    logits = [scores.logits.double().numpy() for scores in every]
    tests = [paired_difference(logits[i], logits[j], every[0].labels) for i, j in pairs]
    adjusted = holm([p for _, _, p in tests])
    return LabelComparison(
        data=scorer.dataset.given,
        split=scorer.split,
        evaluated=relation(scorer.split, own_data=scorer.own),
        warning=shared.warning,
        unchecked=shared.unchecked,
        views=",".join(options.view_sets),
        count=len(every[0].labels),
        classes=first.classes,
        runs=tuple(rows),
        differences=tuple(
            LabelDifference(names[i], names[j], *test, p)
            for (i, j), test, p in zip(pairs, tests, adjusted, strict=True)
        ),
        notes=tuple(notes),
    )


def _row(name: str, run: Run, scores: Scores, metrics: MultilabelMetrics) -> LabelRow:
    history, _ = read_history(run.folder)
    trained = history[-1].get("seconds") if history else None
    return LabelRow(
        name=name,
        model=run.spec.name,
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        macs=inspect(run.spec, (run.spec.in_channels, *run.preprocess_spec.size)).macs,
        input_size=run.preprocess_spec.image_size,
        mean_average_precision=metrics.mean_average_precision,
        mean_average_precision_interval=metrics.mean_average_precision_interval,
        macro_f1=metrics.macro_f1,
        micro_f1=metrics.micro_f1,
        exact_match=metrics.exact_match,
        average_precisions=tuple(each.average_precision for each in metrics.per_label),
        loss=metrics.loss,
        train_seconds=None if trained is None else float(trained),
        seconds=scores.seconds,
        images_per_second=None if scores.cached else metrics.count / scores.seconds,
    )
