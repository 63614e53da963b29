"""Separation of known and unknown images: scikit-learn's area, pytorch-ood's rate; thresholds at a stated rate."""

from __future__ import annotations

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.evaluation.measures.detection import detection, rejecting_threshold


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_the_area_is_that_of_scikit_learn(digits: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(digits)
    known, unknown = np.round(random.normal(size=300), digits), np.round(random.normal(size=170) + 1, digits)
    scores, truth = np.concatenate([known, unknown]), np.repeat([0, 1], [300, 170])
    judged = detection("energy", known, unknown)
    assert judged.auroc == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    false, caught, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    assert judged.fpr95 == pytest.approx(false[np.argmax(caught >= 0.95)], abs=1e-12)


def test_both_are_those_of_pytorch_ood() -> None:
    random = np.random.default_rng(7)
    for size in ((4, 5), (60, 6), (4, 6)):
        random.normal(size=size)
    known, unknown = np.round(random.normal(size=200), 1), np.round(random.normal(size=150) + 1, 1)
    judged = detection("energy", known, unknown)
    # pytorch-ood 0.4.0: metrics.functional.auroc and fpr_at_tpr(…, 0.95).
    assert (judged.auroc, judged.fpr95) == (pytest.approx(0.8201333333333334, abs=1e-12), pytest.approx(0.705))


def test_ends() -> None:
    apart = detection("knn", np.zeros(3), np.ones(5))
    assert (apart.auroc, apart.fpr95) == (1, 0)
    same = detection("knn", np.ones(3), np.ones(5))
    assert (same.auroc, same.fpr95) == (0.5, 1)
    with pytest.raises(InputError, match="0 known"):
        detection("knn", np.zeros(0), np.ones(2))


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("count", [1, 19, 20, 100, 101])
def test_at_most_the_rate_lies_above(rate: float, count: int) -> None:
    scores = np.random.default_rng(count).normal(size=count)
    threshold = rejecting_threshold(scores, rate)
    assert threshold in scores
    assert (scores > threshold).sum() == min(int(rate * count + 1e-9), count - 1)
    # Of ties none is rejected alone.
    assert rejecting_threshold(np.ones(7), rate) == 1
