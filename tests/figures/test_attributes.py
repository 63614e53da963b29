"""Figures of pages carry the style sheet's light values: saved alone they are drawn outside of browsers, in colour."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import residua.figures.pages
from figures.rendering import PROGRAMS, pixels
from residua.figures.attributes import LOOKS, alone
from residua.figures.axes import percent
from residua.figures.bars import Bar, bar_chart
from residua.figures.intervals import Row, interval_bar, interval_chart
from residua.figures.lines import Series, line_chart
from residua.figures.palette import LIGHT, rgb
from residua.figures.reliability import Bin, reliability_diagram
from residua.figures.widths import width_of

BINS = [Bin(0.4, 0.6, 40, 0.5, 0.4, 0.6, 0.55), Bin(0.9, 1.0, 60, 0.97, 0.9, 0.99, 0.93)]
LINES = [Series("train", "train", [3.0, 2.0, 1.0]), Series("val", "val bold", [3.5, 2.5, 2.25])]
FIGURES = {
    "lines": str(line_chart("loss", "epoch", [1, 2, 3], LINES, "{:.3g}".format)),
    "colours": str(
        line_chart("loss", "epoch", [1, 2], [Series("a", "c2 bold", [1, 2]), Series("b", "c3", [2, 1])], str)
    ),
    "intervals": str(interval_chart("error", [Row("plain", 0.2, 0.15, 0.25, [0.2]), Row("b", 0.1, 0.1, 0.2)], percent)),
    "bar": str(interval_bar(0.9, 0.85, 0.93, 0.5)),
    "reliability": str(reliability_diagram("right", BINS, "2 bins")),
}
SHOWN = {"lines": "accent", "colours": "c2", "intervals": "c1", "bar": "accent", "reliability": None}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_saved_alone_is_drawn_in_colour(name: str, program: str) -> None:
    found = pixels(alone(FIGURES[name]), program).reshape(-1, 3)
    dark = (found.max(axis=1) < 20).mean()
    assert dark < 0.002, "marks without colour are black"
    assert (found == 255).all(axis=1).mean() > 0.5
    colour = SHOWN[name]
    if colour:
        assert np.count_nonzero((found == rgb(colour)).all(axis=1)) > 20
    else:
        assert np.count_nonzero(found.std(axis=1) > 20) > 200, "its bars are tinted"


@pytest.mark.parametrize("name", FIGURES)
def test_every_mark_has_a_colour_of_the_palette(name: str) -> None:
    root = ElementTree.fromstring(FIGURES[name])
    assert "sans-serif" in root.attrib["font-family"]
    for node in root.iter():
        if node.tag in ("text", "rect", "line", "path", "circle"):
            given = [node.attrib[key] for key in ("fill", "stroke") if key in node.attrib]
            assert given, ElementTree.tostring(node)
            assert set(given) <= {"none", *LIGHT.values()}
        assert "color" not in node.attrib
    hidden = [node for node in root.iter("g") if node.get("class") == "mark"]
    assert all(node.attrib["opacity"] == "0" for node in hidden)


def test_the_sheet_of_pages_holds_the_same_rules() -> None:
    sheet = residua.figures.pages.environment("residua.studies").get_template("study.css").render()
    for rule in (".grid { stroke: var(--line); }", ".mark { opacity: 0; }", ".whisker { stroke: var(--ink); }"):
        assert rule in sheet
    # A presentation attribute gives way to any rule: a page in the dark theme keeps its own colours.
    assert not re.search(r'style="', "".join(FIGURES.values()))
    assert set(LOOKS) & {"style", "class"} == set()


def test_the_file_is_as_wide_as_its_labels() -> None:
    rows = [Row("cifar_resnet1001_v2_bottleneck, shortcut and branch swapped", 0.2, 0.15, 0.25)]
    narrow, wide = (ElementTree.fromstring(alone(figure)) for figure in (FIGURES["intervals"], _chart(rows)))
    left, _, width, _ = (float(side) for side in wide.attrib["viewBox"].split())
    assert left < -100
    assert width > float(narrow.attrib["viewBox"].split()[2]) + 100
    label = next(node for node in wide.iter("{http://www.w3.org/2000/svg}text") if node.text == rows[0].label)
    assert float(label.attrib["x"]) - width_of(rows[0].label, 12) >= left


def _chart(rows: list[Row]) -> str:
    return str(interval_chart("error", rows, percent))


def test_bars_leave_room_for_their_labels() -> None:
    name = "cifar_resnet1001_v2_bottleneck, residua compiled, in bf16 on eight threads"
    bar = Bar(name, 50.0, 45.0, 55.0, "1,234,567.8 · ours 1234.56 times as fast", name, True, 0)
    root = ElementTree.fromstring(bar_chart("Images per second", [bar], "a machine " * 20))
    width = float(root.attrib["width"])
    texts = {node.text: float(node.attrib["x"]) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert texts[name] - width_of(name, 13) >= 20
    assert texts[bar.note] + width_of(bar.note, 13) <= width - 20
    assert max(width_of(words or "", 13) for words in texts) < width


def test_only_a_figure_can_stand_alone() -> None:
    with pytest.raises(ValueError, match="viewBox"):
        alone("<p>text</p>")
