"""Find the score from which on answers are "unknown", at a stated rate of false rejections."""

from __future__ import annotations

from residua._base.errors import InputError
from residua.data.splitting import balanced
from residua.evaluation.measures.detection import rejecting_threshold
from residua.evaluation.rejection.rejecter import Rejecter
from residua.evaluation.rejection.scores import Arrays, fit_arrays, restored, stored
from residua.evaluation.scores.features import SplitFeatures, features_by
from residua.evaluation.scores.scorer import Scorer
from residua.evaluation.scores.scores import Scores
from residua.specs.fields import checked
from residua.specs.rejection import FEATURE_SCORES, MOST_BYTES, Rate, Rejection, ScoreName
from residua.weights.run import Run

NEIGHBOURS = 10
"""The k of "knn": Sun et al. take 50 for 50,000 images; sets of photos are smaller."""


def fit_rejection(
    run: Run, scorer: Scorer, scores: Scores, temperature: float, reject: float, score: ScoreName
) -> Rejection:
    """Return a rejection that leaves at most a share `reject` of the scored images without an answer.

    Args:
        run: the run.
        scorer: opened on the run's own data; its part is the validation part.
        scores: of that part.
        temperature: of the run's probabilities, for "softmax".
        reject: the share of these images, in (0, 1).
        score: what decides; see `residua.evaluation.rejection.scores`.

    Raises:
        InputError: a rate or a score that is none; too few images; features that are too many for the bundle.
    """
    checked("reject", reject, Rate, "Use reject=0.05")
    checked("score", score, ScoreName)
    if len(scores.labels) * reject < 1:
        raise InputError(
            f"reject={reject} of {len(scores.labels)} validation images: less than one of them",
            f"a share of at least {1 / len(scores.labels):.4f}, or more validation images",
            "Train with a greater val_fraction, or allow more rejections",
        )
    arrays: Arrays = {}
    features = None
    if score in FEATURE_SCORES:
        arrays = references(score, features_of(run, scorer, "train"))
        features = features_of(run, scorer, scorer.split).features
    unfinished = Rejection(
        score=score,
        threshold=0.0,
        rate=reject,
        rejected=0.0,
        count=len(scores.labels),
        split=scorer.split,
        data_hash=scorer.dataset.hash,
        temperature=temperature if score == "softmax" else 1.0,
        neighbours=NEIGHBOURS,
        arrays=stored(arrays),
    )
    # The numbers as a bundle holds them decide, so that they give the same answers when they are read back.
    values = Rejecter(unfinished, restored(unfinished)).scores(scores.logits.numpy(), features)
    threshold = rejecting_threshold(values, reject)
    return Rejection.from_json(
        unfinished.to_json() | {"threshold": threshold, "rejected": float((values > threshold).mean())}
    )


def references(score: ScoreName, train: SplitFeatures) -> Arrays:
    """Return what features are compared with: of too many training images as many of each class as fit."""
    rows = balanced(train.labels, max(MOST_BYTES // (4 * train.features.shape[1]), 1), 0)
    chosen = rows if score == "knn" else slice(None)
    return fit_arrays(score, train.features[chosen], train.labels[chosen], NEIGHBOURS)


def features_of(run: Run, scorer: Scorer, split: str) -> SplitFeatures:
    """Return the features of a part of the scorer's data.

    Raises:
        InputError: the data lacks the part; as `collect_features`.
    """
    if split not in scorer.dataset.splits:
        raise InputError(f"{scorer.dataset.given} without a {split} part", "the run's own data", "Name it")
    return features_by(scorer, run, scorer.part(run, split), scorer.on_bad)
