"""McNemar's test against SciPy's distributions, the bootstrap against resampling, Holm's procedure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from residua._base.errors import InputError
from residua.evaluation.significance import holm, mcnemar


def answers(only_first: int, only_second: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(True, False)] * only_first + [(False, True)] * only_second + [(True, True)] * both
    pairs += [(False, False)] * neither
    order = np.random.default_rng(0).permutation(len(pairs))
    first, second = np.array(pairs)[order].T
    return first, second


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 5), (3, 12), (0, 24), (24, 0), (10, 14)])
def test_few_discordant_images_are_counted_exactly(b: int, c: int) -> None:
    found = mcnemar(*answers(b, c, 50, 20))
    assert (found.only_first, found.only_second, found.method) == (b, c, "exact binomial")
    assert found.statistic is None
    assert found.p == pytest.approx(binomtest(b, b + c).pvalue if b + c else 1, abs=1e-9)


@pytest.mark.parametrize(("b", "c"), [(20, 5), (30, 30), (100, 60), (1000, 1200), (40, 0)])
def test_many_by_chi_square(b: int, c: int) -> None:
    found = mcnemar(*answers(b, c, 50, 20))
    assert found.method == "chi-square with continuity correction"
    statistic = max(abs(b - c) - 1, 0) ** 2 / (b + c)
    assert found.statistic == pytest.approx(statistic)
    assert found.p == pytest.approx(chi2.sf(statistic, 1), abs=1e-12)
    assert found.difference == pytest.approx((b - c) / (b + c + 70))


def test_the_published_example() -> None:
    # Agresti 1990, Categorical Data Analysis, table 10.1: approval ratings, 150 and 86 changed their minds.
    found = mcnemar(*answers(150, 86, 794, 570))
    assert found.statistic == pytest.approx((abs(150 - 86) - 1) ** 2 / 236)
    assert found.p == pytest.approx(4.115e-05, rel=1e-3)


def test_the_order_turns_the_sign() -> None:
    first, second = answers(9, 3, 10, 4)
    one, other = mcnemar(first, second), mcnemar(second, first)
    assert one.p == other.p
    assert one.difference == -other.difference > 0


def test_the_interval_is_that_of_resampled_images() -> None:
    first, second = answers(30, 14, 300, 56)
    found = mcnemar(first, second)
    random = np.random.default_rng(5)
    drawn = random.integers(0, len(first), (4000, len(first)))
    differences = first[drawn].mean(axis=1) - second[drawn].mean(axis=1)
    assert found.interval == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])), abs=0.005)
    assert found.interval[0] < found.difference < found.interval[1]
    assert mcnemar(first, second) == found, "the same each time"
    assert mcnemar(first, first).interval == (0, 0)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_cannot_be_compared() -> None:
    with pytest.raises(InputError):
        mcnemar(np.array([True]), np.array([True, False]))
    with pytest.raises(InputError):
        mcnemar(np.array([], bool), np.array([], bool))
