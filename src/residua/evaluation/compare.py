"""Compare runs on the same images, and test whether their differences are more than chance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from residua._base.errors import InputError
from residua._base.plain import plain
from residua._base.words import some
from residua.anatomy.inspect import inspect
from residua.data.splitting import UNEVEN, unevenness
from residua.evaluation.ensemble_runs import names_of
from residua.evaluation.measures.calibration import calibration
from residua.evaluation.measures.significance import McNemar, holm, mcnemar
from residua.evaluation.multilabel.compare import LabelComparison, compare_labels
from residua.evaluation.relation import overlap, relation
from residua.evaluation.report.history import read_history
from residua.evaluation.run_data import open_runs
from residua.evaluation.scores.options import ScoreKeywords, ScoreOptions, takes
from residua.evaluation.scores.scorer import open_scorer
from residua.evaluation.scores.scores import Scores
from residua.evaluation.scores.seen import check_unseen
from residua.weights.run import Run


@dataclass(frozen=True)
class Row:
    """One run; rates are fractions of 1.

    Attributes:
        name: the name of its folder.
        model: the name of its network.
        parameters: the number of its parameters.
        macs: multiply-accumulates per image at the run's input size.
        input_size: side of the images, pixels; (height, width) of oblong ones.
        top1: accuracy.
        top1_interval: Wilson's 95% interval of it.
        top5: share whose true class is among the five most probable.
        balanced_accuracy: mean recall over the classes that have images.
        macro_f1: mean F1 over the classes that occur.
        recalls: of each class, in the order of `Comparison.classes`; None for one without images.
        loss: mean cross-entropy, nats.
        ece: expected calibration error, 15 bins of equal width.
        train_seconds: duration of its training, from its history; None without one.
        seconds: wall clock of this pass, or of the earlier one whose scores were cached; data included.
        images_per_second: rate of this pass; None where the scores were cached, since the machine's load then differed.
    """

    name: str
    model: str
    parameters: int
    macs: int
    input_size: int | tuple[int, int]
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    balanced_accuracy: float
    macro_f1: float
    recalls: tuple[float | None, ...]
    loss: float
    ece: float
    train_seconds: float | None
    seconds: float
    images_per_second: float | None


@dataclass(frozen=True)
class Difference:
    """Two runs on the same images.

    Attributes:
        first: name of one run.
        second: name of the other.
        test: McNemar's test of the two, and the interval of their difference.
        adjusted_p: its p, adjusted for the number of pairs compared (Holm 1979).
    """

    first: str
    second: str
    test: McNemar
    adjusted_p: float


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        data: the data set that they were scored on.
        split: the part of it.
        evaluated: a sentence on whether the first run has seen these images.
        warning: a sentence where some run was trained on scored images, byte for byte; else "".
        unchecked: a sentence where that is not known of a run, and why; else "".
        views: view sets.
        count: images.
        classes: names, in the order of the first run.
        uneven: whether classes are so uneven in size that accuracy hardly counts the small ones.
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
    uneven: bool
    runs: tuple[Row, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        document: dict[str, Any] = plain(self)
        return document


@takes(ScoreKeywords)
def compare(
    runs: Sequence[Run | Path | str], data: str | Path | None = None, **options: Unpack[ScoreKeywords]
) -> Comparison | LabelComparison:
    """Score runs on the same images and test every pair; runs of several labels an image give a `LabelComparison`.

    Args:
        runs: two or more with the same classes, in any order of classes.
        data: what to score them on; by default the held-out part of the first run.
        options: as in `evaluate`, see `ScoreOptions`.

    Raises:
        InputError: fewer than two runs, or one twice; classes that differ; a run that has learnt from these images;
            errors of `evaluate`.
    """
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run" + "s" * (len(runs) != 1), "two or more to compare", "Name another run")
    scoring = ScoreOptions(data=data, **options)
    opened = open_runs(runs, multilabel=True)
    if any(run.multilabel for run in opened):
        return compare_labels(opened, scoring)
    first = opened[0]
    scorer = open_scorer(opened, scoring)
    notes = [
        note for run in opened if (note := check_unseen(run, scorer.dataset, scorer.split, "score it", compared=True))
    ]
    names = names_of(opened)
    rows, right = [], []
    for name, run in zip(names, opened, strict=True):
        scores = scorer.scores(run)
        rows.append(_row(name, run, scores, first.classes))
        right.append(scores.outcome.correct)
        if run is first:
            counts = np.bincount(scores.labels, minlength=len(first.classes)).tolist()
            if absent := [label for index, label in enumerate(first.classes) if not counts[index]]:
                notes.append(f"without images here, and therefore not measured: {some(absent, 12)}")
            notes += [*scorer.dataset.notes, *scores.notes(scorer.split)]
    shared = overlap(opened, names, scorer)
    pairs = list(itertools.combinations(range(len(opened)), 2))
    tests = [mcnemar(right[i], right[j]) for i, j in pairs]
    return Comparison(
        data=scorer.dataset.given,
        split=scorer.split,
        evaluated=relation(scorer.split, own_data=scorer.own),
        warning=shared.warning,
        unchecked=shared.unchecked,
        views=",".join(scoring.view_sets),
        count=len(right[0]),
        classes=first.classes,
        uneven=unevenness(counts) >= UNEVEN,
        runs=tuple(rows),
        differences=tuple(
            Difference(names[i], names[j], test, p)
            for (i, j), test, p in zip(pairs, tests, holm([test.p for test in tests]), strict=True)
        ),
        notes=tuple(notes),
    )


def _row(name: str, run: Run, scores: Scores, classes: Sequence[str]) -> Row:
    metrics, outcome = scores.tally.metrics(classes), scores.outcome
    history, _ = read_history(run.folder)
    trained = history[-1].get("seconds") if history else None
    return Row(
        name=name,
        model=run.spec.name,
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        macs=inspect(run.spec, (run.spec.in_channels, *run.preprocess_spec.size)).macs,
        input_size=run.preprocess_spec.image_size,
        top1=metrics.top1,
        top1_interval=metrics.top1_interval,
        top5=metrics.top5,
        balanced_accuracy=metrics.balanced_accuracy,
        macro_f1=metrics.macro_f1,
        recalls=tuple(each.recall if each.support else None for each in metrics.per_class),
        loss=metrics.loss,
        ece=calibration(outcome.probability, outcome.correct).ece,
        train_seconds=None if trained is None else float(trained),
        seconds=scores.seconds,
        images_per_second=None if scores.cached else metrics.count / scores.seconds,
    )
