"""McNemar's test against SciPy's distributions, the interval against published ones, Holm's procedure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from residua._base.errors import InputError
from residua.evaluation.measures.significance import conditional_interval, holm, mcnemar, paired_score_interval


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


@pytest.mark.parametrize(
    ("b", "c", "both", "neither", "wanted"),
    [
        (5, 0, 14, 22, (0.011, 0.226)),  # Altman et al. 2000, Statistics with Confidence, p. 52
        (1, 7, 1, 12, (-0.507, -0.026)),  # Fagerland et al. 2014, BMC Med. Res. Methodol. 14:133, Bentur's data
        (12, 2, 20, 16, (0.0562, 0.3292)),  # Newcombe 1998, Stat. Med. 17:2635
    ],
)
def test_the_interval_is_newcombes(b: int, c: int, both: int, neither: int, wanted: tuple[float, float]) -> None:
    digits = 5e-5 if wanted == (0.0562, 0.3292) else 6e-4
    assert paired_score_interval(both, b, c, neither) == pytest.approx(wanted, abs=digits)
    assert paired_score_interval(both, c, b, neither) == pytest.approx((-wanted[1], -wanted[0]), abs=digits)


@pytest.mark.parametrize(("both", "neither"), [(0, 0), (50, 20), (3, 900), (2000, 10)])
def test_the_interval_never_disagrees_with_p(both: int, neither: int) -> None:
    pairs = [(b, c) for b in range(0, 40, 3) for c in range(0, 40, 2)]
    for b, c in pairs:
        if b + c + both + neither == 0:
            continue
        test = mcnemar(*answers(b, c, both, neither))
        low, high = test.interval
        assert (low > 0 or high < 0) == (test.p < 0.05), (b, c)
        assert low <= test.difference <= high


@pytest.mark.parametrize(("b", "c"), [(5, 0), (1, 7), (12, 2), (0, 6), (30, 12), (100, 60)])
def test_the_tests_own_interval_is_scipys_turned_around(b: int, c: int) -> None:
    method = "exact" if b + c < 25 else "wilsoncc"
    share = binomtest(b, b + c).proportion_ci(0.95, method=method)
    wanted = [(2 * end - 1) * (b + c) / 200 for end in (share.low, share.high)]
    assert conditional_interval(b, c, 200) == pytest.approx(wanted, abs=1e-9)
    assert (wanted[0] > 0 or wanted[1] < 0) == (mcnemar(*answers(b, c, 100, 100 - b - c)).p < 0.05)


def test_models_that_agree_are_not_known_to_be_equal() -> None:
    for right in (np.ones(20, bool), np.zeros(20, bool), np.arange(20) < 12):
        low, high = mcnemar(right, right).interval
        assert -0.2 < low < -0.02
        assert high == pytest.approx(-low)
    assert mcnemar(np.array([True]), np.array([False])).interval[1] <= 1


@pytest.mark.parametrize("shares", [(0.03, 0.01, 0.9, 0.06), (0.1, 0.1, 0.5, 0.3), (0.02, 0.0, 0.97, 0.01)])
def test_the_interval_covers_the_difference(shares: tuple[float, ...]) -> None:
    drawn = np.random.default_rng(0).multinomial(50, shares, size=400)
    intervals = [mcnemar(*answers(*map(int, row))).interval for row in drawn]
    wanted = shares[0] - shares[1]
    assert np.mean([low <= wanted <= high for low, high in intervals]) > 0.93


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_cannot_be_compared() -> None:
    with pytest.raises(InputError):
        mcnemar(np.array([True]), np.array([True, False]))
    with pytest.raises(InputError):
        mcnemar(np.array([], bool), np.array([], bool))
