"""Axes: round ticks that enclose the values, labels of one form, values at their place."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residua.figures.axes import compact, linear, logarithmic, positions, ticks

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(NUMBERS, NUMBERS)
def test_ticks_enclose_and_are_few(first: float, second: float) -> None:
    low, high = sorted((first, second))
    if 0 < high - low < 1e-6:
        return
    found, slack = ticks(low, high, 4), 1e-6 * (1 + high - low)
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 8
    steps = {round(b - a, 9) for a, b in itertools.pairwise(found)}
    assert max(steps) - min(steps) <= 1e-6 * max(steps)


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 1, [0, 0.5, 1]), (0.1, 2.4, [0, 1, 2, 3]), (0.91, 0.98, [0.9, 0.92, 0.94, 0.96, 0.98]), (0, 0, None)],
)
def test_ticks_are_round(low: float, high: float, wanted: list[float] | None) -> None:
    found = ticks(low, high, 4)
    if wanted is None:
        assert found[0] < 0 < found[-1]
    else:
        assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((0.3, 90_000.0), "0.1 1 10 100 1,000 10,000 100,000"),
        ((2e-3, 3e-3), "0.001 0.002 0.005 0.01"),
        ((1.0, 1.0), "1 2 5 10"),
        ((1e-7, 3.0), "10⁻⁷ 10⁻⁵ 10⁻³ 10⁻¹ 10¹"),
        ((1e2, 1e7), "10² 10³ 10⁴ 10⁵ 10⁶ 10⁷"),
        ((1e-30, 1.0), "10⁻³⁰ 10⁻²⁵ 10⁻²⁰ 10⁻¹⁵ 10⁻¹⁰ 10⁻⁵ 10⁰"),
    ],
)
def test_labels_of_a_logarithmic_axis_have_one_form(values: tuple[float, float], labels: str) -> None:
    assert " ".join(logarithmic(values, 0, 100).labels) == labels


POSITIVE = st.floats(1e-300, 1e300, allow_subnormal=False)


@given(POSITIVE, POSITIVE)
def test_a_logarithmic_axis_encloses_its_values(first: float, second: float) -> None:
    axis = logarithmic((first, second), 230, 30)
    assert axis.low <= min(first, second) * (1 + 1e-12)
    assert axis.high >= max(first, second) * (1 - 1e-12)
    assert 2 <= len(axis.ticks) <= 7
    assert len(set(axis.labels)) == len(axis.ticks) == len(axis.labels)
    places = [axis.position(tick) for tick in axis.ticks]
    assert places[0] == 230
    assert places[-1] == 30
    if len(places) > 4 or axis.high / axis.low > 11:
        steps = [a - b for a, b in itertools.pairwise(places)]
        assert max(steps) - min(steps) <= 0.21


def test_equal_differences_or_equal_ratios_are_equally_long() -> None:
    axis = linear((0.0, 4.0), 0, 100, str)
    assert [axis.position(value) for value in (0, 1, 2, 4)] == [0, 25, 50, 100]
    log = logarithmic((1.0, 10_000.0), 0, 100)
    assert [log.position(value) for value in (1, 10, 100, 10_000)] == [0, 25, 50, 100]
    assert axis.clamped(-3) == 0
    assert axis.clamped(9) == 100


def test_positions_are_whole_and_end_where_the_values_end() -> None:
    axis = positions(range(1, 31), 0, 100)
    assert (axis.position(1), axis.position(30)) == (0, 100)
    assert axis.labels == ("10", "20", "30")
    assert positions([0, 200_000], 0, 1).labels[-1] == "200,000"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.00123456, "0.00123"),
        (0.0001, "0.0001"),
        (999.4, "999"),
        (999.6, "1,000"),
        (1000.0, "1,000"),
        (12_345.0, "12,300"),
        (999_999.0, "1M"),
        (2.5e6, "2.5M"),
        (3.14e9, "3.14G"),
        (1.234e-7, "1.23×10⁻⁷"),
        (-1e15, "-1×10¹⁵"),
        (math.nan, "nan"),
    ],
)
def test_numbers_of_any_size_are_short(value: float, text: str) -> None:
    assert compact(value) == text
