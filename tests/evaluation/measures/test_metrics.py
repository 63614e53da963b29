"""Metrics against scikit-learn, torchmetrics and SciPy, on random and on nasty input, and at any batch size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as oracle
from torchmetrics.functional import classification as theirs

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import Metrics, NotFinite, Tally, from_logits, wilson

CASES = {
    "two": (2, 40, 2),
    "ten": (10, 300, 10),
    "hundred": (100, 1000, 100),
    "absent classes": (12, 60, 5),
    "one image": (4, 1, 4),
    "one class": (1, 9, 1),
    "all of one class": (6, 30, 1),
}


def draw(classes: int, count: int, used: int, *, tied: bool, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, used, count)
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), labels] += 1.0
    return torch.tensor(logits.round() if tied else logits), torch.tensor(labels)


# scikit-learn warns of absent classes and of single ones.
@pytest.mark.filterwarnings("ignore:.*(single label|y_pred contains classes):UserWarning")
@pytest.mark.parametrize("tied", [False, True], ids=["", "ties"])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_scikit_learn_and_torchmetrics(case: str, tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    classes, count, used = CASES[case]
    logits, labels = draw(classes, count, used, tied=tied)
    found = from_logits(logits, labels)
    truth, scores = labels.numpy(), logits.numpy()
    predicted = scores.argmax(axis=1)
    every = np.arange(classes)

    assert found.count == count
    assert found.top1 == pytest.approx(oracle.accuracy_score(truth, predicted), abs=1e-9)
    assert np.array_equal(found.confusion, oracle.confusion_matrix(truth, predicted, labels=every))
    rows = oracle.precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0.0)
    ours = np.array([(row.precision, row.recall, row.f1, row.support) for row in found.per_class]).T
    np.testing.assert_allclose(ours, np.array(rows, float), atol=1e-9)
    assert [row.predicted for row in found.per_class] == np.bincount(predicted, minlength=classes).tolist()
    macro = oracle.f1_score(truth, predicted, average="macro")
    balanced = oracle.balanced_accuracy_score(truth, predicted)
    assert found.macro_f1 == pytest.approx(macro, abs=1e-9)
    assert found.balanced_accuracy == pytest.approx(balanced, abs=1e-9)
    if classes > 1:
        exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
        softmax = exponents / exponents.sum(axis=1, keepdims=True)
        assert found.loss == pytest.approx(oracle.log_loss(truth, softmax, labels=every), abs=1e-9)
        assert found.brier == pytest.approx(((softmax - np.eye(classes)[truth]) ** 2).sum(axis=1).mean(), abs=1e-9)
        # They cast to single precision, or to the default one, which would hide all beyond the seventh digit.
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            equal_to_torchmetrics(found, logits, labels)
        finally:
            torch.set_default_dtype(torch.float32)
    else:
        assert found.loss == 0
    if classes > 2:
        wanted = oracle.brier_score_loss(truth, softmax, labels=every, scale_by_half=False)
        assert found.brier == pytest.approx(wanted, abs=1e-9)
    assert found.top5_interval == wilson(round(found.top5 * count), count)
    if classes > 5:
        # Of equal scores scikit-learn ranks the higher index first, Residua the lower, as argmax does.
        wanted = oracle.top_k_accuracy_score(classes - 1 - truth, scores[:, ::-1], k=5, labels=every)
        assert found.top5 == pytest.approx(wanted, abs=1e-9)
    else:
        assert found.top5 == 1


def equal_to_torchmetrics(found: Metrics, logits: torch.Tensor, labels: torch.Tensor) -> None:
    classes = logits.shape[1]
    assert np.array_equal(found.confusion, theirs.multiclass_confusion_matrix(logits, labels, classes).numpy())
    for ours, k in ((found.top1, 1), (found.top5, min(5, classes))):
        # Of equal scores topk takes any; a step that follows the index makes of theirs our definition. Top 1 is argmax.
        ranked = logits.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        right = theirs.multiclass_accuracy(-ranked.double(), labels, classes, average="micro", top_k=k)
        assert ours == pytest.approx(float(right), abs=1e-9)
    each = theirs.multiclass_f1_score(logits, labels, classes, average="none")
    np.testing.assert_allclose([row.f1 for row in found.per_class], each.numpy(), atol=1e-9)
    # Macro: they, too, leave out classes that neither occur nor are predicted.
    macro = theirs.multiclass_f1_score(logits, labels, classes, average="macro")
    assert found.macro_f1 == pytest.approx(float(macro), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    classes=st.integers(1, 8),
    count=st.integers(1, 30),
    size=st.integers(1, 31),
    seed=st.integers(0, 99),
    tied=st.booleans(),
)
def test_batching_changes_nothing(classes: int, count: int, size: int, seed: int, tied: bool) -> None:
    logits, labels = draw(classes, count, classes, tied=tied, seed=seed)
    tally = Tally(classes)
    for start in range(0, count, size):
        tally.update(logits[start : start + size], labels[start : start + size])
    assert same(tally.metrics(), from_logits(logits, labels))


def same(left: Metrics, right: Metrics) -> bool:
    names = set(left.__dataclass_fields__) - {"confusion"}
    return np.array_equal(left.confusion, right.confusion) and all(
        getattr(left, name) == getattr(right, name) for name in names
    )


def test_what_became_of_each_image() -> None:
    logits = torch.tensor([[0.0, 1.0, 0.0], [3.0, 1.0, 2.0]])
    outcome = Tally(3).update(logits, torch.tensor([1, 2]))
    assert outcome.predicted.tolist() == [1, 0]
    softmax = logits.double().softmax(dim=1)
    np.testing.assert_allclose(outcome.probability, [softmax[0, 1], softmax[1, 0]])
    np.testing.assert_allclose(outcome.true_probability, [softmax[0, 1], softmax[1, 2]])


def test_large_logits_do_not_overflow() -> None:
    found = from_logits(torch.tensor([[1e30, 0.0], [0.0, 1000.0]]), torch.tensor([0, 0]))
    assert found.loss == pytest.approx(500.0)
    # Their sum overflows; they do not.
    equal = torch.full((1, 4), 1e308, dtype=torch.float64)
    assert from_logits(equal, torch.tensor([0])).loss == pytest.approx(np.log(4))


def test_bfloat16_is_counted_in_double_precision() -> None:
    logits, labels = draw(5, 50, 5, tied=False)
    half = logits.bfloat16()
    assert same(from_logits(half, labels), from_logits(half.double(), labels))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    logits = torch.zeros(3, 4)
    logits[1, 2] = bad
    tally = Tally(4)
    with pytest.raises(NotFinite, match="1 of 3 images"):
        tally.update(logits, torch.zeros(3, dtype=torch.int64))
    assert tally.count == 0


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 3])),
        (torch.zeros(2, 3), torch.tensor([0, -1])),
        (torch.zeros(2, 4), torch.tensor([0, 1])),
        (torch.zeros(2, 3), torch.tensor([0])),
        (torch.zeros(3), torch.tensor([0])),
    ],
)
def test_shapes_and_labels_that_do_not_fit(logits: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(InputError):
        Tally(3).update(logits, labels)


def test_nothing_counted_and_wrong_names() -> None:
    with pytest.raises(InputError, match="no images"):
        Tally(3).metrics()
    logits, labels = draw(3, 5, 3, tied=False)
    with pytest.raises(InputError, match="2 class names"):
        from_logits(logits, labels, ["a", "b"])
    with pytest.raises(InputError):
        Tally(0)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("hits", "count"), [(0, 1), (1, 1), (0, 10), (7, 10), (81, 100), (9999, 10000), (5, 7)])
def test_wilson_is_scipys(hits: int, count: int, level: float) -> None:
    wanted = binomtest(hits, count).proportion_ci(level, method="wilson")
    assert wilson(hits, count, level) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_wilson_at_the_ends() -> None:
    # Brown, Cai and DasGupta 2001 give (0.2366, 0.7634) for 5 of 10.
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=5e-5)
    assert wilson(0, 20)[0] == 0
    assert wilson(20, 20)[1] == 1
    assert wilson(0, 0) == (0, 1)
    for hits, count, level in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(InputError):
            wilson(hits, count, level)
