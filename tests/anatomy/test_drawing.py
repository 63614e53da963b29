"""The picture of a network: well-formed, nothing outside, nothing on top of another, and it shows what is there."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from laws.representatives import REPRESENTATIVES
from residua.anatomy import inspect
from residua.anatomy.drawing import draw
from residua.anatomy.drawing.canvas import STYLE, width_of
from residua.anatomy.drawing.picture import sections
from residua.cli.app import main
from residua.specs.catalog import get_spec

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = [*REPRESENTATIVES, "resnet152", "resnet200_v2_slim", "cifar_resnet1001_v2_bottleneck", "highway_mlp100"]
SIZES = {name: float(size) for name, size in re.findall(r"\.(\w+) \{ font-size: ([\d.]+)px", STYLE)}


def _boxes_of_text(root: ElementTree.Element) -> list[tuple[str, float, float, float, float]]:
    boxes = []
    for node in root.iter(f"{SVG}text"):
        styles = node.attrib["class"].split()
        size = next(SIZES[style] for style in styles if style in SIZES)
        # The estimate is rather too wide; a tenth less is what fonts take.
        width = 0.9 * width_of(node.text or "", size)
        x, y = float(node.attrib["x"]), float(node.attrib["y"])
        left = x - width / 2 if "middle" in styles else x - width if "end" in styles else x
        boxes.append((node.text or "", left, y - 0.72 * size, left + width, y + 0.18 * size))
    return boxes


@pytest.mark.parametrize("name", DRAWN)
def test_every_structure_is_drawn_inside_and_without_overlap(name: str) -> None:
    root = ElementTree.fromstring(draw(inspect(name)))
    width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
    texts = _boxes_of_text(root)
    for words, left, top, right, bottom in texts:
        assert left >= 0, words
        assert right <= width, words
        assert top >= 0, words
        assert bottom <= height, words
    for (a, *p), (b, *q) in itertools.combinations(texts, 2):
        apart = p[2] <= q[0] or q[2] <= p[0] or p[3] <= q[1] or q[3] <= p[1]
        assert apart, f"{a!r} on {b!r}"
    for node in root.iter(f"{SVG}rect"):
        x, wide = float(node.attrib["x"]), float(node.attrib["width"])
        assert x >= 0, node.attrib
        assert x + wide <= width + 0.1, node.attrib
        assert float(node.attrib["height"]) > 0


def test_shortcuts_are_those_of_the_network() -> None:
    blocks = [(run.count, run.block) for section in sections(inspect("resnet50")) for run in section.runs]
    kinds = {kind: sum(n for n, block in blocks if block.shortcut == kind) for kind in ("identity", "projection")}
    assert kinds == {"identity": 12, "projection": 4}
    kinds = [run.block.shortcut for s in sections(inspect("cifar_resnet20")) for run in s.runs if run.block.shortcut]
    assert kinds == ["identity", "padding", "identity", "padding", "identity"]
    slim = [run.block.shortcut for s in sections(inspect("resnet50_v2_slim")) for run in s.runs]
    assert slim.count("pool") == 3
    assert {run.block.kind for s in sections(inspect("plain34")) for run in s.runs} >= {"plain"}


def test_sections_sum_to_the_network() -> None:
    for name in ("resnet18", "densenet121", "googlenet", "vgg16", "cifar_highway19"):
        found = inspect(name)
        drawn = sections(found)
        idle = sum(layer.params for layer in found.layers if not layer.runs)
        assert sum(section.params for section in drawn) == found.params - idle
        assert sum(section.macs for section in drawn) == found.macs


def test_a_thousand_layers_are_a_few_blocks() -> None:
    picture = draw(inspect("cifar_resnet1001_v2_bottleneck"))
    assert picture.count("<rect") < 100
    assert "× 110" in picture


def test_names_are_escaped_and_the_command_writes_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = get_spec("cifar_resnet20", paper='Me & "you" <2026>')
    assert 'Me &amp; "you" &lt;2026&gt;' in draw(inspect(spec))
    target = tmp_path / "net.svg"
    assert main(["inspect", "cifar_resnet20", "--by", "stage", "--svg", str(target)]) == 0
    ElementTree.fromstring(target.read_text())
    assert str(target) in capsys.readouterr().err
    assert main(["inspect", "cifar_resnet20", "--svg", str(tmp_path / "no" / "net.svg")]) == 2
    assert main(["inspect", "cifar_resnet20", "--svg", "/dev/null/net.svg"]) == 2
