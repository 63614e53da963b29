"""Metrics of several labels an image against scikit-learn and torchmetrics; thresholds against every other choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torchmetrics.functional.classification import multilabel_average_precision

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import NotFinite
from residua.evaluation.multilabel.average_precision import (
    average_precisions,
    mean_interval,
    mean_of,
    paired_difference,
)
from residua.evaluation.multilabel.label_metrics import choose_thresholds, multilabel_metrics, sigmoid

CASES = {"two": (2, 30), "many": (12, 400), "rare": (6, 90), "one image": (3, 1)}


def draw(case: str, *, tied: bool, seed: int = 0) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Return logits, labels and thresholds."""
    classes, count = CASES[case]
    random = np.random.default_rng(seed)
    labels = (random.random((count, classes)) < (0.05 if case == "rare" else 0.4)).astype(np.int64)
    logits = random.normal(size=(count, classes)) + labels
    return torch.tensor(logits.round() if tied else logits), labels, random.uniform(0.2, 0.8, classes)


@pytest.mark.filterwarnings("ignore:No positive:UserWarning")
@pytest.mark.parametrize("tied", [False, True], ids=["", "ties"])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_scikit_learn(case: str, tied: bool) -> None:
    logits, labels, thresholds = draw(case, tied=tied)
    found = multilabel_metrics(logits, labels, thresholds, interval=False)
    probabilities = 1 / (1 + np.exp(-logits.numpy()))
    decided = (probabilities >= thresholds).astype(int)
    present = labels.any(axis=0)
    for index, row in enumerate(found.per_label):
        if not present[index]:
            assert row.average_precision is None
            continue
        expected = oracle.average_precision_score(labels[:, index], logits[:, index].numpy())
        assert row.average_precision == pytest.approx(expected, abs=1e-9)
    rows = oracle.precision_recall_fscore_support(labels, decided, average=None, zero_division=0.0)
    ours = np.array([(row.precision, row.recall, row.f1, row.support) for row in found.per_label]).T
    np.testing.assert_allclose(ours, np.array(rows, float), atol=1e-9)
    micro = oracle.precision_recall_fscore_support(labels, decided, average="micro", zero_division=0.0)
    assert (found.micro_precision, found.micro_recall, found.micro_f1) == pytest.approx(micro[:3], abs=1e-9)
    occurs = np.flatnonzero(labels.any(axis=0) | decided.any(axis=0))
    macro = oracle.f1_score(labels, decided, labels=occurs, average="macro", zero_division=0.0) if len(occurs) else 0.0
    assert found.macro_f1 == pytest.approx(macro, abs=1e-9)
    assert found.exact_match == pytest.approx(oracle.accuracy_score(labels, decided), abs=1e-9)
    assert found.hamming_loss == pytest.approx(oracle.hamming_loss(labels, decided), abs=1e-9)
    loss = oracle.log_loss(labels.ravel(), probabilities.ravel(), labels=[0, 1])
    assert found.loss == pytest.approx(loss, abs=1e-9)


def test_mean_average_precision_is_that_of_torchmetrics() -> None:
    logits, labels, _ = draw("many", tied=False)
    theirs = multilabel_average_precision(logits, torch.tensor(labels), 12, average="macro")
    assert mean_of(average_precisions(logits.numpy(), labels)) == pytest.approx(float(theirs), abs=1e-6)
    whole = oracle.average_precision_score(labels, logits.numpy(), average="macro")
    assert mean_of(average_precisions(logits.numpy(), labels)) == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("case", ["two", "rare", "many"])
def test_no_threshold_has_a_greater_f1(case: str) -> None:
    logits, labels, _ = draw(case, tied=False)
    chosen = choose_thresholds(logits, labels)
    probabilities = sigmoid(logits.numpy())
    for index, threshold in enumerate(chosen):
        truth, scores = labels[:, index], probabilities[:, index]
        if not truth.any():
            assert threshold == 0.5
            continue
        # scikit-learn's function takes milliseconds for each of thousands of thresholds: 2 TP / (positives + answers).
        others = np.append(np.unique(scores), 2)[:, None]
        answers = scores >= others
        best = (2 * (answers & (truth == 1)).sum(1) / (truth.sum() + answers.sum(1))).max()
        assert oracle.f1_score(truth, scores >= threshold) == pytest.approx(best, abs=1e-12)
        # Half way between two images: neither is at the border.
        assert not np.isclose(scores, threshold, rtol=0, atol=1e-12).any()


def test_of_equal_thresholds_the_one_nearest_to_one_half() -> None:
    labels = np.array([[1], [0], [0]])
    logits = torch.tensor([[4.0], [-4.0], [-5.0]])
    ends = sigmoid(np.array([4.0, -4.0]))
    assert choose_thresholds(logits, labels)[0] == pytest.approx(ends.mean())
    assert choose_thresholds(torch.zeros(3, 1), labels)[0] == pytest.approx(0.25)


def test_intervals_hold_the_mean_and_pairs_differ_by_their_difference() -> None:
    logits, labels, _ = draw("many", tied=False)
    worse = logits.numpy() + np.random.default_rng(5).normal(size=logits.shape) * 2
    low, high = mean_interval(logits.numpy(), labels)
    assert low < mean_of(average_precisions(logits.numpy(), labels)) < high
    assert 0.01 < high - low < 0.2
    assert mean_interval(logits.numpy(), labels) == (low, high)
    difference, (below, above), p = paired_difference(logits.numpy(), worse, labels)
    assert below > 0
    assert p < 0.05
    assert difference == pytest.approx((below + above) / 2)
    assert paired_difference(worse, worse, labels) == (0.0, (0.0, 0.0), 1.0)


def test_the_bootstrap_weighs_as_repeated_images_do() -> None:
    from residua.evaluation.multilabel.average_precision import resampled_means

    logits, labels, _ = draw("two", tied=True)
    generator = np.random.Generator(np.random.PCG64(0))
    draws = generator.integers(0, 30, (50, 30))
    means = resampled_means([logits.numpy()], labels)[0]
    for row, mean in zip(draws[:10], means[:10], strict=True):
        expected = mean_of(average_precisions(logits.numpy()[row], labels[row]))
        assert mean == pytest.approx(expected, abs=1e-12)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(NotFinite):
        multilabel_metrics(torch.tensor([[float("nan"), 0.0]]), np.array([[1, 0]]), (0.5, 0.5))
    for shape in ((2, 3), (0, 2)):
        with pytest.raises(InputError, match="labels"):
            multilabel_metrics(torch.zeros(shape), np.zeros((2, 2), np.int64), (0.5, 0.5))
    assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0.0, 0.5, 1.0]
