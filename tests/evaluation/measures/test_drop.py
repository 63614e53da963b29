"""The gate on the loss of accuracy: three answers, by bounds that hold."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import optimize

from residua._base.errors import InputError
from residua.evaluation.measures.drop import _score, accuracy_drop


def answers(count: int, lost: int, gained: int) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.ones(count, bool), np.ones(count, bool)
    after[:lost] = False
    before[lost : lost + gained] = False
    return before, after


@pytest.mark.parametrize(
    ("count", "lost", "gained", "answer"),
    [
        (10_000, 40, 35, "passes"),
        (10_000, 150, 60, "fails"),
        (1_000, 12, 8, "undecided"),
        (1_000, 0, 0, "passes"),
        (800, 0, 0, "undecided"),
    ],
)
def test_three_answers(count: int, lost: int, gained: int, answer: str) -> None:
    gate = accuracy_drop(*answers(count, lost, gained), 0.003)
    assert gate.answer == answer
    assert (gate.count, gate.only_before, gate.only_after) == (count, lost, gained)
    assert gate.lower < gate.drop < gate.upper
    assert gate.drop == pytest.approx((lost - gained) / count)
    assert (gate.needed is None) == (answer != "undecided")


def test_two_percent_of_changed_answers_need_six_thousand_images() -> None:
    gate = accuracy_drop(*answers(1_000, 10, 10), 0.003)
    assert gate.answer == "undecided"
    assert gate.needed is not None
    assert 5_900 < gate.needed < 6_200
    share = gate.needed / 1_000
    lost = round(10 * share)
    assert accuracy_drop(*answers(gate.needed + 50, lost, lost), 0.003).answer == "passes"
    assert accuracy_drop(*answers(gate.needed - 200, lost, lost), 0.003).answer == "undecided"


def test_a_loss_on_the_limit_is_never_decided() -> None:
    assert accuracy_drop(*answers(1_000, 3, 0), 0.003).needed is None


def test_without_a_difference_the_bound_is_near_the_rule_of_three() -> None:
    gate = accuracy_drop(*answers(900, 0, 0), 0.003)
    z2 = 1.6448536**2
    assert gate.upper == pytest.approx(z2 / (900 + z2), rel=1e-6)
    assert gate.lower == pytest.approx(-gate.upper, rel=1e-6)


@pytest.mark.parametrize(("lost", "gained", "loss"), product((0, 3, 17), (0, 4, 9), (-0.04, 0.0, 0.02, 0.3)))
def test_the_rate_under_the_hypothesis_is_the_most_likely_one(lost: int, gained: int, loss: float) -> None:
    """The closed form beside a numeric maximum of the likelihood."""
    count = 200

    def unlikely(rate: float) -> float:
        parts = ((lost, rate + loss), (gained, rate), (count - lost - gained, 1 - 2 * rate - loss))
        return -sum(times * math.log(max(share, 1e-300)) for times, share in parts)

    low, high = max(0.0, -loss), (1 - loss) / 2
    best = optimize.minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    best = min((low, high, best), key=unlikely)
    variance = count * (2 * best + loss * (1 - loss))
    excess = lost - gained - count * loss
    if variance < 1e-6:
        assert excess == pytest.approx(0) or abs(_score(lost, gained, count, loss)) > 1e3
    else:
        assert _score(lost, gained, count, loss) == pytest.approx(excess / math.sqrt(variance), rel=1e-3, abs=1e-6)


def test_the_upper_bound_covers_the_truth_as_often_as_stated() -> None:
    generator = np.random.default_rng(0)
    count, lost, gained = 2_000, 0.012, 0.008
    draws = generator.multinomial(count, (lost, gained, 1 - lost - gained), 600)
    covered = [accuracy_drop(*answers(count, a, b), 0.5).upper >= lost - gained for a, b, _ in draws.tolist()]
    assert 0.93 < np.mean(covered) < 0.975


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1, math.nan, "0.3"])
def test_a_limit_that_is_none_is_refused(limit: object) -> None:
    with pytest.raises(InputError, match="max_drop"):
        accuracy_drop(*answers(10, 0, 0), limit)  # type: ignore[arg-type]


def test_answers_of_different_images_are_refused() -> None:
    with pytest.raises(InputError, match="same images"):
        accuracy_drop(np.ones(3, bool), np.ones(4, bool), 0.003)
    with pytest.raises(InputError, match="same images"):
        accuracy_drop(np.ones(0, bool), np.ones(0, bool), 0.003)
