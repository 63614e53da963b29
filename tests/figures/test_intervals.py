"""Intervals are drawn to scale."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from residua.figures.axes import points
from residua.figures.intervals import Row, interval_bar, interval_chart


def test_the_interval_is_drawn_to_scale() -> None:
    root = ElementTree.fromstring(str(interval_bar(0.9, 0.85, 0.93, 0.5)))
    (span,) = root.iter("rect")
    assert float(str(span.get("x"))) == pytest.approx(14 + 310 * 0.85, abs=0.1)
    assert float(str(span.get("width"))) == pytest.approx(310 * 0.08, abs=0.11)


def test_rows_have_their_interval_and_points() -> None:
    rows = [Row("plain", 0.2, 0.15, 0.25, (0.19, 0.21)), Row("<b>", 0.3, 0.28, 0.32, style="c2")]
    root = ElementTree.fromstring(str(interval_chart("error", rows, points)))
    titles = [node.text for node in root.iter("title")]
    assert titles == ["plain: 20.0% (15.0% to 25.0%)", "<b>: 30.0% (28.0% to 32.0%)"]
    lines = [node for node in root.iter("line") if "line" in str(node.get("class")).split()]
    lengths = [float(str(node.get("x2"))) - float(str(node.get("x1"))) for node in lines]
    assert lengths[0] / lengths[1] == pytest.approx(0.1 / 0.04, rel=0.02)
    assert len([node for node in root.iter("circle") if "faint" in str(node.get("class"))]) == 2


def test_the_edge_cuts_an_interval_that_would_hide_the_others() -> None:
    rows = [Row("a", 0.2, -5.0, 5.0), Row("b", 0.3, 0.28, 0.32)]
    root = ElementTree.fromstring(str(interval_chart("error", rows, points)))
    places = [float(str(node.get("cx"))) for node in root.iter("circle")]
    assert places[1] - places[0] > 40
    assert all(0 <= float(str(node.get(key))) <= 520 for node in root.iter("line") for key in ("x1", "x2"))
    assert len(list(root.iter("path"))) == 2, "an arrowhead at each edge that the interval crosses"
    assert "path" not in str(interval_chart("error", [Row("b", 0.3, 0.28, 0.32)], points))
    assert interval_chart("error", [], points) == ""
