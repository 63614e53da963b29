"""The outcome of a cross-validation: each fold, their mean, and all images together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from residua._base.plain import plain
from residua.data.dataset import Dataset
from residua.evaluation.report.assemble import assemble, describe
from residua.evaluation.report.report import Report
from residua.evaluation.scores.scores import Scores
from residua.grids.folds.out_of_fold import OutOfFold
from residua.weights.run import Run

LEVEL = 0.95
MEASURES = ("top1", "balanced_accuracy", "loss")


@dataclass(frozen=True)
class FoldResult:
    """One fold.

    Attributes:
        fold: its number, from 1.
        run: the folder of its run.
        count: images that it held out.
        top1: accuracy on them, a fraction of 1.
        balanced_accuracy: mean recall of their classes, a fraction of 1.
        loss: mean cross-entropy, nats.
    """

    fold: int
    run: str
    count: int
    top1: float
    balanced_accuracy: float
    loss: float


@dataclass(frozen=True)
class FoldMean:
    """A mean over the folds.

    Attributes:
        value: the mean.
        low, high: ends of Student's 95% interval of it.
        deviation: sample standard deviation over the folds.
    """

    value: float
    low: float
    high: float
    deviation: float


@dataclass(frozen=True)
class CrossValidation:
    """What folds show of a network, a recipe and data.

    Attributes:
        folder: of the cross-validation: a run per fold, `out_of_fold.npz`, report.html and report.json.
        folds: each, in order.
        mean: of "top1", "balanced_accuracy" and "loss" over the folds. Folds share training images, so that the
            intervals are somewhat too narrow (Bengio & Grandvalet 2004).
        report: all images together, each judged by the run that had it held out.
    """

    folder: Path
    folds: tuple[FoldResult, ...]
    mean: Mapping[str, FoldMean]
    report: Report

    @property
    def top1(self) -> float:
        """Accuracy over all images, a fraction of 1."""
        return self.report.top1

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values; report.json has the rest."""
        pooled = {name: getattr(self.report, name) for name in ("count", *MEASURES, "top1_interval", "macro_f1")}
        pooled["ece"] = self.report.calibration.ece if self.report.calibration else None
        document = {"folder": str(self.folder), "classes": self.report.classes, "folds": self.folds}
        values: dict[str, Any] = plain(document | {"mean": dict(self.mean), "pooled": pooled})
        return values


def mean_of(values: Sequence[float], least: float = 0.0, most: float = math.inf) -> FoldMean:
    """Return the mean with Student's interval, cut at what such a value can be."""
    from scipy import stats

    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    return FoldMean(mean, max(least, mean - half), min(most, mean + half), deviation)


def conclude(
    folder: Path,
    dataset: Dataset,
    answers: OutOfFold,
    results: Sequence[FoldResult],
    run: Run,
    recipe: dict[str, Any],
    *,
    full: bool,
) -> CrossValidation:
    """Return the outcome; the report is that of all images, with the first fold's network for sizes and costs.

    Args:
        folder: of the cross-validation.
        dataset: with all training images in one part.
        answers: of all folds.
        results: of each fold.
        run: of the first fold.
        recipe: of the folds.
        full: whether the report states places on this machine.
    """
    split = replace(dataset.splits["train"], name="out-of-fold")
    # Positions are those before corrections left images out.
    indices = answers.positions if split.drawn is None else np.searchsorted(split.drawn[1], answers.positions)
    scores = Scores("1", torch.from_numpy(answers.logits), answers.labels, indices, {}, 0.0)
    mean = {name: mean_of([getattr(each, name) for each in results], 0.0, _MOST[name]) for name in MEASURES}
    described = dataset.describe(full=full)
    notes = [
        *described["notes"],
        *(f"fold {each.fold}: top-1 {each.top1:.2%} of {each.count:,} images" for each in results),
        f"mean over {len(results)} folds: top-1 {_percent(mean['top1'])}, "
        f"balanced accuracy {_percent(mean['balanced_accuracy'])}",
    ]
    how = f"Each image is judged by the run of {len(results)} that had it held out."
    if recipe.get("keep") in ("best", "every") or recipe.get("early_stop_epochs"):
        how += " Epochs were chosen on these images, though: the result is somewhat optimistic."
    left_out = len(split) - len(indices)
    notes += [f"{left_out:,} images do not decode and were left out"] * bool(left_out)
    report = assemble(
        scores,
        describe(run.model, run.preprocess_spec),
        split,
        run.preprocess_spec,
        dataset.classes,
        device=torch.device("cpu"),
        data=described | {"notes": notes, "evaluated": how, "cross_validation": len(results)},
        root=Path(dataset.location) if dataset.location else None,
    )
    named = replace(report, name=folder.resolve().name, recipe=recipe)
    return CrossValidation(folder, tuple(results), mean, named)


_MOST = {"top1": 1.0, "balanced_accuracy": 1.0, "loss": math.inf}


def _percent(mean: FoldMean) -> str:
    return f"{mean.value:.2%} (95% interval {mean.low:.2%} to {mean.high:.2%})"
