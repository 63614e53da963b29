"""Doubted labels: those of cleanlab, in its order."""

from __future__ import annotations

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.evaluation.measures.confident_learning import doubt_labels


def noisy(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a network that is mostly right, and labels of which some are wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, count)
    labels = np.where(random.random(count) < 0.15, random.integers(0, classes, count), truth)
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), truth] += 2.5
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True), labels


# cleanlab 2.9.0: find_label_issues(labels, p, filter_by="confident_learning",
# return_indices_ranked_by="normalized_margin") and compute_confident_joint(labels, p, calibrate=False).
RANKED = {0: [2, 39], 1: [98, 333, 283, 51, 47, 121, 349, 286, 189, 258, 39, 309]}
RANKED |= {2: [1004, 1160, 697, 1960, 52, 1696, 520, 1621, 703, 1157, 430, 1247]}


@pytest.mark.parametrize(("seed", "count", "classes", "doubted"), [(0, 60, 3, 2), (1, 400, 5, 39), (2, 2000, 10, 240)])
def test_they_are_those_of_cleanlab(seed: int, count: int, classes: int, doubted: int) -> None:
    judged = doubt_labels(*noisy(seed, count, classes))
    assert len(judged.rows) == doubted
    assert judged.rows[:12].tolist() == RANKED[seed]
    if seed == 0:
        assert judged.joint.tolist() == [[13, 0, 0], [0, 12, 0], [0, 2, 13]]


def test_the_installed_package_agrees() -> None:
    filters = pytest.importorskip("cleanlab.filter", reason="no cleanlab: pip install cleanlab")
    counts = pytest.importorskip("cleanlab.count")
    probabilities, labels = noisy(3, 1000, 7)
    judged = doubt_labels(probabilities, labels)
    ranked = filters.find_label_issues(
        labels, probabilities, filter_by="confident_learning", return_indices_ranked_by="normalized_margin"
    )
    assert judged.rows.tolist() == ranked.tolist()
    assert np.array_equal(judged.joint, counts.compute_confident_joint(labels, probabilities, calibrate=False))
    assert judged.thresholds == pytest.approx(counts.get_confident_thresholds(labels, probabilities), abs=1e-12)


def test_refusals() -> None:
    with pytest.raises(InputError, match="0 images"):
        doubt_labels(np.zeros((0, 3)), np.zeros(0, np.int64))
