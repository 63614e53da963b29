"""A map of points: every point once, marked ones ringed, groups told apart."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from residua.figures.palette import LINES
from residua.figures.scatter import MOST_GROUPS, Point, scatter


def test_points_and_legend() -> None:
    names = [f"<class {index}>" for index in range(MOST_GROUPS)]
    points = [Point(index, index**2, index, name, ringed=index == 3) for index, name in enumerate(names)]
    figure = scatter("A map", "below", [*points, Point(0, 5, -1, "none of them")], names)
    ElementTree.fromstring(figure)
    marks = re.findall(r'<(circle|rect|path) class="dot (c\d)"', figure)
    # Each group's mark stands in the plane and in the legend, and no two groups have the same.
    assert len(marks) == 2 * MOST_GROUPS
    assert len(set(marks)) == MOST_GROUPS == 3 * len(LINES)
    assert figure.count('class="ring"') == 1
    assert figure.count('class="count"') == 1
    assert "&lt;class 0&gt;" in figure


def test_both_axes_have_one_scale() -> None:
    figure = scatter("A map", "below", [Point(0, 0, 0, "a"), Point(4, 0, 0, "b"), Point(0, 1, 0, "c")], ["x"])
    places = [
        (float(x), float(y)) for x, y in re.findall(r'<circle class="dot c1" cx="([\d.]+)" cy="([\d.]+)"', figure)
    ]
    (ax, ay), (bx, by), (cx, cy) = places[:3]
    assert ay == by
    assert ax == cx
    assert abs((bx - ax) - 4 * (ay - cy)) < 0.5
    assert scatter("A map", "below", [Point(1, 1, 0, "alone")], ["x"])
