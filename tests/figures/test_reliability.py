"""The reliability diagram: bars as tall as the share of right answers, gaps to the mean probability."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from residua.figures.reliability import Bin, reliability_diagram


def test_bars_gaps_and_counts_are_to_scale() -> None:
    bins = [Bin(0.5, 0.6, 10, 0.4, 0.2, 0.6, 0.55), Bin(0.9, 1.0, 40, 0.98, 0.9, 1.0, 0.93)]
    root = ElementTree.fromstring(str(reliability_diagram("right", bins, "2 bins")))
    assert root.get("aria-label") == "right: 2 bins"
    heights = {
        kind: [float(str(n.get("height"))) for n in root.iter("rect") if n.get("class") == kind]
        for kind in ("share", "gap", "modest", "count")
    }
    assert heights["share"] == pytest.approx([80, 196])
    assert heights["gap"] == pytest.approx([30])  # surer than right
    assert heights["modest"] == pytest.approx([10])
    assert heights["count"] == pytest.approx([6, 24])
    text = [node.text for node in root.iter("title")]
    assert text[0] == "probability 50.0% to 60.0%\n10 images\nmean probability 55.0%\nright 40.0% (20.0% to 60.0%)"


def test_no_bins() -> None:
    root = ElementTree.fromstring(str(reliability_diagram("right", [], "none")))
    assert root.get("aria-label") == "right: none"
    assert not [*root.iter("rect"), *root.iter("title")]
    words = [node.text for node in root.iter("text")]
    assert words.count("0%") == words.count("100%") == 2, "both axes stand without bars"
