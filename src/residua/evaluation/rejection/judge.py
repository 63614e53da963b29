"""Judge rejection: what it leaves unanswered, and how well it separates images of no class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from residua._base.errors import InputError
from residua.data.dataset import Split
from residua.data.image_source import FileImages
from residua.data.listing import walk
from residua.evaluation.measures.detection import Detection, detection
from residua.evaluation.measures.metrics import wilson
from residua.evaluation.rejection.fit import NEIGHBOURS, features_of, references
from residua.evaluation.rejection.rejecter import Rejecter
from residua.evaluation.rejection.scores import Doubles, feature_scores, logit_scores
from residua.evaluation.scores.features import SplitFeatures, features_by
from residua.evaluation.scores.scorer import Scorer
from residua.evaluation.scores.scores import Scores
from residua.specs.rejection import FEATURE_SCORES, LOGIT_SCORES
from residua.weights.run import Run


@dataclass(frozen=True)
class RejectionEffect:
    """What a run's rejection does to images of its classes; rates are fractions of 1.

    Attributes:
        score: what decides.
        threshold: a greater score is unknown.
        rate: the share of validation images that it may reject.
        rejected: the share of these images that is unknown.
        interval: Wilson's 95% interval of it.
        wrong: the share of wrong answers among the rejected; None where none is rejected.
        accuracy: the share of right answers among the others; None where all are rejected.
    """

    score: str
    threshold: float
    rate: float
    rejected: float
    interval: tuple[float, float]
    wrong: float | None
    accuracy: float | None


@dataclass(frozen=True)
class UnknownImages:
    """How well images of no class are recognised as unknown; rates are fractions of 1.

    Attributes:
        folder: the name of their folder.
        count: images in it that decode.
        skipped: files that do not.
        detections: of each score, best first, against the images that were evaluated.
        rejected: the share that the run's own rejection answers "unknown"; None where the run has none.
        interval: Wilson's 95% interval of it.
    """

    folder: str
    count: int
    skipped: int
    detections: tuple[Detection, ...]
    rejected: float | None
    interval: tuple[float, float] | None


def rejection_effect(run: Run, scorer: Scorer, scores: Scores) -> RejectionEffect | None:
    """Return what the run's rejection does to the scored images; None where it has none."""
    rejecter = Rejecter.of(run.rejection)
    if rejecter is None:
        return None
    asked = rejecter.rejection
    features = features_of(run, scorer, scorer.split).features if asked.uses_features else None
    unknown = rejecter.unknown(scores.logits.numpy(), features)
    correct, count = scores.outcome.correct, int(unknown.sum())
    return RejectionEffect(
        score=asked.score,
        threshold=asked.threshold,
        rate=asked.rate,
        rejected=count / len(unknown),
        interval=wilson(count, len(unknown)),
        wrong=float((~correct[unknown]).mean()) if count else None,
        accuracy=float(correct[~unknown].mean()) if count < len(unknown) else None,
    )


def judge_unknown(run: Run, scorer: Scorer, folder: Path | str) -> UnknownImages:
    """Compare the images that are evaluated with those of a folder, none of which belongs to a class.

    "knn" and "mahalanobis" are judged where the training part is there.

    Raises:
        InputError: a folder without images that decode; as `collect_features`.
    """
    split = _unknown_split(Path(folder))
    unknown = features_by(scorer, run, split, "skip")
    known = features_of(run, scorer, scorer.split)
    judged = [detection(name, *pair) for name, pair in _pairs(run, scorer, known, unknown).items()]
    rejecter = Rejecter.of(run.rejection)
    rejected = None if rejecter is None else rejecter.unknown(unknown.logits, unknown.features)
    return UnknownImages(
        folder=Path(folder).resolve().name,
        count=len(unknown.indices),
        skipped=len(unknown.skipped),
        detections=tuple(sorted(judged, key=lambda each: (-each.auroc, each.score))),
        rejected=None if rejected is None else float(rejected.mean()),
        interval=None if rejected is None else wilson(int(rejected.sum()), len(rejected)),
    )


def _pairs(
    run: Run, scorer: Scorer, known: SplitFeatures, unknown: SplitFeatures
) -> dict[str, tuple[Doubles, Doubles]]:
    """Return the scores of known and of unknown images, by the name of the score."""
    pairs = {}
    for name in LOGIT_SCORES:
        temperature = run.temperature if name == "softmax" else 1.0
        pairs[name] = tuple(logit_scores(name, each.logits, temperature) for each in (known, unknown))
    if scorer.own and "train" in scorer.dataset.splits:
        train = features_of(run, scorer, "train")
        for name in FEATURE_SCORES:
            arrays = references(name, train)
            pairs[name] = tuple(feature_scores(name, each.features, arrays, NEIGHBOURS) for each in (known, unknown))
    return {name: (first, second) for name, (first, second) in pairs.items()}


def _unknown_split(folder: Path) -> Split:
    if not folder.is_dir():
        raise InputError(f"unknown={folder}", "a folder of images that belong to no class", "Check the path")
    files = [Path(entry.path) for entry in walk(folder) if entry.kind == "image"]
    if not files:
        raise InputError(
            f"unknown={folder}, which has no images", "a folder of images that belong to no class", "Give another"
        )
    return Split("unknown", np.zeros(len(files), np.int64), FileImages(files))
