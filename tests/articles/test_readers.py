"""What readers tried, of the list of what the articles name: one test a row, under its number."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from figures.rendering import PROGRAMS, pixels
from residua.anatomy import inspect
from residua.anatomy.drawing import draw
from residua.anatomy.drawing.picture import sections, side_heads
from residua.cli.app import main
from residua.figures.palette import rgb

SVG = "{http://www.w3.org/2000/svg}"


def _words(path: Path) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(path.read_text()).iter(f"{SVG}text")]


def test_row_103_the_drawing_names_what_it_shows(tmp_path: Path) -> None:
    """The stem's 7×7, the pool's 3×3, slim's own blocks with the last BN·ReLU, and one total."""
    target = tmp_path / "net.svg"
    assert main(["inspect", "resnet34", "--by", "stage", "--svg", str(target)]) == 0
    words = _words(target)
    assert "7×7 convolution" in words
    assert "3×3 pool, 3 units" in words
    assert main(["inspect", "resnet50_v2_slim", "--by", "stage", "--svg", str(target)]) == 0
    words = _words(target)
    heads = [word for word in words if word.startswith(("root", "block"))]
    assert heads == ["root: 112 → 56", "block1: 56 → 28", "block2: 28 → 14", "block3: 14 → 7", "block4: 7×7"]
    assert [words[words.index(head) + 2] for head in heads[1:]] == [
        "3 units",
        "4 units",
        "6 units",
        "3 units, BN · ReLU",
    ]
    assert main(["inspect", "googlenet", "--by", "stage", "--svg", str(target)]) == 0
    words = _words(target)
    assert words[words.index("parameters") - 1] == "7 M"
    assert sum(section.params for section in sections(inspect("googlenet"))) == 6_998_552


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("names", [["resnet34"], ["googlenet", "--training"], ["vgg19", "plain34", "resnet34"]])
def test_row_104_other_programs_draw_it_in_colour(names: list[str], program: str, tmp_path: Path) -> None:
    """Programs that know no style variables: a light page, nothing black, each kind of layer in its colour."""
    target = tmp_path / "net.svg"
    assert main(["inspect", *names, "--svg", str(target)]) == 0
    found = pixels(target.read_text(), program).reshape(-1, 3)
    assert (found == rgb("paper")).all(axis=1).mean() > 0.5
    assert (found == 0).all(axis=1).mean() < 0.01
    wanted = ["conv", "pool", "linear", "inception" if names[0] == "googlenet" else "residual"]
    for colour in wanted:
        assert np.count_nonzero((found == rgb(colour)).all(axis=1)) > 100, colour


def test_row_105_side_heads_are_side_branches(tmp_path: Path) -> None:
    """GoogLeNet in training: two heads beside the trunk, boxes wide enough to see, nothing beyond the page."""
    found = inspect("googlenet", training=True)
    heads = side_heads(found)
    assert [(head.name, head.source) for head in heads] == [
        ("aux1", "inception_4a/output"),
        ("aux2", "inception_4d/output"),
    ]
    assert [[block.kind for block in head.blocks] for head in heads] == 2 * [["pool", "conv", "linear", "linear"]]
    assert sum(each.params for each in sections(found)) + sum(head.params for head in heads) == found.params
    root = ElementTree.fromstring(draw(found))
    page = float(root.attrib["width"])
    boxes = [
        node for node in root.iter(f"{SVG}rect") if node.attrib["class"] in ("conv", "inception", "pool", "linear")
    ]
    assert len(boxes) > 25
    assert min(float(node.attrib["width"]) for node in boxes) >= 8
    assert max(float(node.attrib["x"]) + float(node.attrib["width"]) for node in boxes) < page - 40
    words = [node.text for node in root.iter(f"{SVG}text")]
    assert words[words.index("parameters") - 1] == "13.4 M"
    assert "aux1: 3.19 M params, 4.17 M MACs → 1000 outputs" in words


def test_row_106_three_networks_beside_each_other(tmp_path: Path) -> None:
    """He 2015, figure 3: VGG-19, 34 plain layers, 34 layers with shortcuts."""
    target = tmp_path / "figure.svg"
    assert main(["inspect", "vgg19", "plain34", "resnet34", "--svg", str(target)]) == 0
    words = _words(target)
    assert [word for word in words if word in ("vgg19", "plain34", "resnet34")] == ["vgg19", "plain34", "resnet34"]
    assert words.count("7×7 conv, 64, /2") == words.count("3×3 max pool, /2") == 2
    assert words.count("3×3 conv, 64") == 2 + 2 * 6
    assert words.count("3×3 conv, 512, /2") == 2
    assert words.count("linear, 4096") == 2
    assert words.count("linear, 1000") == 3
    sides = [f"{side}×{side}" for side in (224, 112, 56, 28, 14, 7, 1)]
    assert [word for word in words if word in sides] == sides
    root = ElementTree.fromstring(target.read_text())
    ways = [node.attrib["class"] for node in root.iter(f"{SVG}path") if node.attrib["class"].startswith("way")]
    # One more of each in the legend.
    assert (ways.count("way identity"), ways.count("way projection")) == (13 + 1, 3 + 1)
