"""Charts: round ticks that enclose the values, lines that break where values are missing."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residua.figures.charts import Series, interval_bar, line_chart, ticks

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


def draw(*values: list[float | None], names: str = "ab") -> str:
    series = [Series(name, f"line-{name}", line) for name, line in zip(names, values, strict=False)]
    return str(line_chart("loss", "epoch", range(1, len(values[0]) + 1), series, "{:.3g}".format))


def test_an_element_that_parses_with_axes_and_readings() -> None:
    text = draw([3.0, 2.0, 1.0], [3.5, 2.5, 2.25])
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-label") == "loss, by epoch: a from 3 to 1; b from 3.5 to 2.25"
    titles = [element.text for element in root.iter("title")]
    assert titles == ["epoch 1\na 3\nb 3.5", "epoch 2\na 2\nb 2.5", "epoch 3\na 1\nb 2.25"]
    words = [element.text for element in root.iter("text")]
    assert {"loss", "epoch", "1", "2", "3", "a", "b"} <= set(words)


def test_larger_values_stand_higher() -> None:
    path = re.search(r'd="M([^"]+)"', draw([1.0, 2.0, 4.0]))
    assert path is not None
    heights = [float(point.split()[1]) for point in path[1].split("L")]
    assert heights[0] > heights[1] > heights[2]
    assert heights[0] - heights[1] == pytest.approx((heights[1] - heights[2]) / 2, abs=0.2)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_a_missing_value_breaks_the_line(missing: float | None) -> None:
    text = draw([1.0, 2.0, missing, 3.0, 2.0])
    assert len(re.findall(r"M\d", text)) == 2
    assert "nan" not in text
    assert "inf" not in text
    assert 'class="dot' in draw([1.0, missing, 2.0, 3.0]), "a value alone is a dot"


def test_a_logarithmic_axis_has_decades() -> None:
    values = [0.01, 1.0, 100.0, 0.0]  # a gradient that has vanished stands on no such axis
    text = str(line_chart("loss", "epoch", [1, 2, 3, 4], [Series("a", "x", values)], "{:g}".format, log=True))
    root = ElementTree.fromstring(text)
    words = [element.text for element in root.iter("text")]
    assert {"0.01", "0.1", "1", "10", "100", "loss, logarithmic"} <= set(words)
    path = re.search(r'd="M([^"]+)"', text)
    assert path is not None
    heights = [float(point.split()[1]) for point in path[1].split("L")]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)


def test_nothing_to_draw() -> None:
    assert draw([None, None]) == ""
    assert draw([1.0]) == ""
    assert line_chart("loss", "epoch", [], [], str) == ""


def test_a_constant_line() -> None:
    ElementTree.fromstring(draw([0.1, 0.1, 0.1]))
    ElementTree.fromstring(draw([0.0, 0.0]))


def test_labels_at_the_ends_keep_apart() -> None:
    root = ElementTree.fromstring(draw([2.0, 1.0], [2.0, 1.001]))
    heights = [float(str(element.get("y"))) for element in root.iter("text") if "name" in str(element.get("class"))]
    assert abs(heights[0] - heights[1]) >= 12


def test_names_are_escaped() -> None:
    text = str(line_chart("<b>", "&", [1, 2], [Series('"<i>', "x", [1, 2]), Series("b", "y", [1, 2])], str))
    root = ElementTree.fromstring(text)
    assert not list(root.iter("b"))
    assert not list(root.iter("i"))


def test_the_interval_is_drawn_to_scale() -> None:
    root = ElementTree.fromstring(str(interval_bar(0.9, 0.85, 0.93, 0.5)))
    (span,) = root.iter("rect")
    assert float(str(span.get("x"))) == pytest.approx(10 + 320 * 0.85, abs=0.1)
    assert float(str(span.get("width"))) == pytest.approx(320 * 0.08, abs=0.11)
