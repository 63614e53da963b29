"""Abstention: the curve and its area against a count by hand, thresholds that keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.evaluation.measures.abstention import abstention, apply_threshold, find_thresholds


def draw(count: int, *, tied: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    confidence = random.random(count)
    confidence = confidence.round(1) if tied else confidence
    return confidence, random.random(count) < confidence


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("count", [1, 7, 500])
def test_the_curve_is_counted(count: int, tied: bool) -> None:
    confidence, correct = draw(count, tied=tied)
    found = abstention(confidence, correct)
    total = 0.0
    for place in range(1, count + 1):
        # The images answered at this coverage, with all that are as sure as the last of them.
        least = np.sort(confidence)[::-1][place - 1]
        given = confidence >= least
        total += 1 - correct[given].mean()
    assert found.aurc == pytest.approx(total / count, abs=1e-12)
    assert found.curve[-1] == (1, pytest.approx(correct.mean()))
    assert len(found.curve) <= 101
    assert list(found.curve) == sorted(found.curve)
    for coverage, accuracy in found.curve:
        given = confidence >= np.sort(confidence)[::-1][round(coverage * count) - 1]
        assert accuracy == pytest.approx(correct[given].mean(), abs=1e-12)


def test_the_order_of_equals_does_not_matter() -> None:
    confidence, correct = draw(300, tied=True)
    order = np.random.default_rng(1).permutation(300)
    assert abstention(confidence, correct) == abstention(confidence[order], correct[order])
    assert abstention(np.ones(4), np.array([True, False, True, True])).aurc == 0.25


@pytest.mark.parametrize("tied", [False, True])
def test_thresholds_keep_what_they_promise(tied: bool) -> None:
    confidence, correct = draw(800, tied=tied, seed=4)
    for wanted, probability in find_thresholds(confidence, correct, (0.5, 0.8, 0.9)).items():
        assert probability is not None
        row = apply_threshold(confidence, correct, wanted, probability)
        assert row.accuracy is not None
        assert row.accuracy >= wanted
        assert row.accuracy_interval[0] < row.accuracy < row.accuracy_interval[1]
        lower = confidence[confidence < probability]
        for other in np.unique(lower):
            assert correct[confidence >= other].mean() < wanted, "no lower one reaches it"


def test_what_is_never_reached() -> None:
    assert find_thresholds(np.array([0.9, 0.8]), np.array([False, True]), (0.6,)) == {0.6: None}
    row = apply_threshold(np.array([0.9, 0.8]), np.array([False, True]), 0.6, None)
    assert (row.coverage, row.accuracy, row.accuracy_interval) == (0, None, (0, 1))
    with pytest.raises(InputError):
        find_thresholds(np.array([0.9]), np.array([True]), (1.5,))
    with pytest.raises(InputError):
        abstention(np.array([]), np.array([], bool))
