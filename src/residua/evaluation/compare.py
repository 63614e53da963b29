"""Runs side by side on the same images, and whether their differences are more than chance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from residua._base.errors import InputError
from residua._base.plain import plain
from residua.anatomy.inspect import inspect
from residua.data.dataset import BadPolicy
from residua.evaluation.ensemble_runs import names_of
from residua.evaluation.evaluate import relation
from residua.evaluation.measures.calibration import calibration
from residua.evaluation.measures.significance import McNemar, holm, mcnemar
from residua.evaluation.report.report import read_history
from residua.evaluation.scores.scorer import check_unseen, each_once, loaded, open_judge
from residua.evaluation.scores.scores import Progress, Record
from residua.weights.run import Run


@dataclass(frozen=True)
class Row:
    """One run; rates are fractions of 1.

    Attributes:
        name: of its folder.
        model: its network.
        parameters: of it.
        macs: multiply-accumulates of an image at the run's input size.
        input_size: side of the images, pixels.
        top1: accuracy.
        top1_interval: Wilson's 95% interval of it.
        top5: share whose true class is among the five most probable.
        loss: mean cross-entropy, nats.
        ece: expected calibration error, 15 bins of equal width.
        train_seconds: that its training took, by its history; None without one.
        seconds: that this evaluation took, or the earlier one that was kept: wall clock, data included.
        images_per_second: of that; None where it was kept: another day, another load.
    """

    name: str
    model: str
    parameters: int
    macs: int
    input_size: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float
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
        test: McNemar's of the two, and the interval of their difference.
        adjusted_p: its p for the number of pairs compared (Holm 1979).
    """

    first: str
    second: str
    test: McNemar
    adjusted_p: float


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        data: what they were judged on.
        split: the part of it.
        evaluated: what these images are to the first run, a sentence.
        views: view sets.
        count: images.
        classes: names, in the order of the first run.
        runs: a row each, in the order given.
        differences: every pair.
        notes: what to keep in mind, sentences.
    """

    data: str
    split: str
    evaluated: str
    views: str
    count: int
    classes: tuple[str, ...]
    runs: tuple[Row, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        document: dict[str, Any] = plain(self)
        return document


def compare(
    runs: Sequence[Run | Path | str],
    data: str | Path | None = None,
    *,
    split: str | None = None,
    data_dir: Path | None = None,
    views: str = "1",
    cache: bool = True,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    on_bad: BadPolicy | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Judge runs on the same images and test every pair.

    Args:
        runs: two or more, of the same classes in whatever order.
        data: what to judge them on; by default the held-out part of the first run.
        split: "train", "val" or "test", to choose the part.
        data_dir: where downloaded sets lie.
        views: as in `evaluate`.
        cache: as in `evaluate`.
        batch_size: images a forward pass.
        device: by default the GPU where there is one.
        on_bad: what to do with images that do not decode.
        progress: called with (images done, images in all).

    Raises:
        InputError: fewer than two runs, or one twice; classes that differ; a run that has learnt from these images;
            errors of `evaluate`.
    """
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run" + "s" * (len(runs) != 1), "two or more to compare", "Name another run")
    opened = [loaded(run) for run in runs]
    each_once(opened)
    first = opened[0]
    judge = open_judge(
        opened,
        data,
        split=split,
        data_dir=data_dir,
        views=views,
        batch_size=batch_size,
        device=device,
        on_bad=on_bad,
        keep=cache,
        progress=progress,
    )
    notes = [note for run in opened if (note := check_unseen(run, judge.dataset, judge.split, "judge it"))]
    names = names_of(opened)
    rows, right = [], []
    for name, run in zip(names, opened, strict=True):
        record = judge.record(run)
        rows.append(_row(name, run, record))
        right.append(record.outcome.correct)
    pairs = list(itertools.combinations(range(len(opened)), 2))
    tests = [mcnemar(right[i], right[j]) for i, j in pairs]
    return Comparison(
        data=judge.dataset.given,
        split=judge.split,
        evaluated=relation(judge.split, own_data=judge.own),
        views=",".join(judge.views),
        count=len(right[0]),
        classes=first.classes,
        runs=tuple(rows),
        differences=tuple(
            Difference(names[i], names[j], test, p)
            for (i, j), test, p in zip(pairs, tests, holm([test.p for test in tests]), strict=True)
        ),
        notes=tuple(notes),
    )


def _row(name: str, run: Run, record: Record) -> Row:
    metrics, outcome = record.tally.metrics(run.classes), record.outcome
    side = run.preprocess_spec.image_size
    history, _ = read_history(run.folder)
    trained = history[-1].get("seconds") if history else None
    return Row(
        name=name,
        model=run.spec.name,
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        macs=inspect(run.spec, (run.spec.in_channels, side, side)).macs,
        input_size=side,
        top1=metrics.top1,
        top1_interval=metrics.top1_interval,
        top5=metrics.top5,
        loss=metrics.loss,
        ece=calibration(outcome.probability, outcome.correct).ece,
        train_seconds=None if trained is None else float(trained),
        seconds=record.seconds,
        images_per_second=None if record.cached else metrics.count / record.seconds,
    )
