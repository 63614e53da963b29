"""Line charts: readings, names at the ends of lines, lines that break where values are missing."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from residua.figures.lines import Series, line_chart


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


@pytest.mark.parametrize(
    ("value", "labels"), [(0.1, ["0.09", "0.095", "0.1", "0.105", "0.11"]), (0.0, ["-0.5", "0", "0.5"])]
)
def test_a_constant_line_lies_in_the_middle_of_its_axis(value: float, labels: list[str]) -> None:
    root = ElementTree.fromstring(draw([value] * 3))
    left = [element for element in root.iter("text") if element.get("class") == "tick end"]
    assert [element.text for element in left] == labels
    edges = [float(str(element.get("y1"))) for element in root.iter("line") if element.get("class") == "grid"]
    (path,) = root.iter("path")
    heights = {float(point.split()[1]) for point in str(path.get("d")).removeprefix("M").split("L")}
    assert heights == {(min(edges) + max(edges)) / 2}


def test_labels_at_the_ends_keep_apart() -> None:
    root = ElementTree.fromstring(draw([2.0, 1.0], [2.0, 1.001]))
    heights = [float(str(element.get("y"))) for element in root.iter("text") if "name" in str(element.get("class"))]
    assert abs(heights[0] - heights[1]) >= 12


def test_names_are_escaped() -> None:
    text = str(line_chart("<b>", "&", [1, 2], [Series('"<i>', "x", [1, 2]), Series("b", "y", [1, 2])], str))
    root = ElementTree.fromstring(text)
    assert not list(root.iter("b"))
    assert not list(root.iter("i"))
