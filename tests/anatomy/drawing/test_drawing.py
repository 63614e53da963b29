"""The picture of a network: well-formed, nothing outside, nothing on top of another, and it shows what is there."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import ImageFont

from laws.representatives import REPRESENTATIVES
from residua.anatomy import inspect
from residua.anatomy.drawing import draw, draw_columns
from residua.anatomy.drawing.canvas import short
from residua.anatomy.drawing.picture import sections, side_heads
from residua.cli.app import main
from residua.figures.sheets import rules
from residua.figures.widths import width_of
from residua.specs.catalog import get_spec

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = [*REPRESENTATIVES, "resnet152", "resnet200_v2_slim", "cifar_resnet1001_v2_bottleneck", "highway_mlp100"]
SIZES = {name: float(size) for name, size in re.findall(r"\.(\w+) \{ font-size: ([\d.]+)px", rules("network.css"))}


def _boxes_of_text(root: ElementTree.Element) -> list[tuple[str, float, float, float, float]]:
    boxes = []
    for node in root.iter(f"{SVG}text"):
        styles = node.attrib["class"].split()
        size = next(SIZES[style] for style in styles if style in SIZES)
        width = width_of(
            node.text or "", size, bold=bool({"title", "big", "strong", "head", "box", "cell"} & set(styles))
        )
        x, y = float(node.attrib["x"]), float(node.attrib["y"])
        left = x - width / 2 if "middle" in styles else x - width if "end" in styles else x
        boxes.append((node.text or "", left, y - 0.72 * size, left + width, y + 0.18 * size))
    return boxes


FALLBACK = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
WITH_HEADS = ["googlenet", "googlenet_bn", "inception_v3"]


@pytest.mark.parametrize(
    ("name", "training"), [(name, False) for name in DRAWN] + [(name, True) for name in WITH_HEADS]
)
def test_every_structure_is_drawn_inside_and_without_overlap(name: str, training: bool) -> None:
    _check_places(draw(inspect(name, training=training)))


@pytest.mark.parametrize("name", DRAWN)
def test_networks_beside_each_other_are_drawn_inside_and_without_overlap(name: str) -> None:
    found = inspect(name)
    _check_places(draw_columns([found, inspect("resnet18"), found]))


def _check_places(picture: str) -> None:
    root = ElementTree.fromstring(picture)
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
        assert wide >= 3 or "bar" in node.attrib["class"], node.attrib


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("beside", [False, True])
def test_labels_fit_their_boxes_in_the_widest_fallback_font(name: str, beside: bool) -> None:
    found = inspect(name)
    root = ElementTree.fromstring(draw_columns([found, found]) if beside else draw(found))
    boxes = [[float(node.attrib[key]) for key in ("x", "y", "width", "height")] for node in root.iter(f"{SVG}rect")]
    checked = 0
    for words, left, top, right, bottom in _boxes_of_text(root):
        middle, height = (left + right) / 2, (top + bottom) / 2
        around = [box for box in boxes[1:] if 0 < middle - box[0] < box[2] and 0 < height - box[1] < box[3]]
        for x, _, width, _ in around:
            assert left >= x, words
            assert right <= x + width, words
            checked += 1
    if any(run.block.kind in ("residual", "plain", "inception") for s in sections(inspect(name)) for run in s.runs):
        assert checked > 4


@pytest.mark.skipif(not FALLBACK.exists(), reason="DejaVu Sans is not installed")
@pytest.mark.parametrize("bold", [False, True])
def test_no_text_is_wider_than_estimated(bold: bool) -> None:
    font = ImageFont.truetype(str(FALLBACK.with_stem("DejaVuSans-Bold") if bold else FALLBACK), 1000)
    for name in DRAWN:
        for node in ElementTree.fromstring(draw(inspect(name))).iter(f"{SVG}text"):
            words = node.text or ""
            assert font.getlength(words) <= 1000 * width_of(words, 1, bold), words


@pytest.mark.parametrize("name", WITH_HEADS)
def test_side_heads_branch_off_and_the_title_states_what_is_drawn(name: str) -> None:
    found = inspect(name, training=True)
    heads, drawn = side_heads(found), sections(found)
    assert [head.name for head in heads] == (["aux1", "aux2"] if name != "inception_v3" else ["AuxLogits"])
    assert sum(each.params for each in (*drawn, *heads)) == found.params
    assert sum(each.macs for each in (*drawn, *heads)) == found.macs
    names = [run_name for section in drawn for run in section.runs for run_name in run.names]
    assert all(head.source in names for head in heads)
    idle = inspect(name)
    assert [(each.params, each.macs) for each in sections(idle)] == [(each.params, each.macs) for each in drawn]
    own = sum(section.params for section in drawn)
    words = [node.text for node in ElementTree.fromstring(draw(idle)).iter(f"{SVG}text")]
    assert words[words.index("parameters") - 1] == short(own)
    assert any(f"{short(found.params - own)} more parameters do not run" in (word or "") for word in words)


def test_slim_s_blocks_are_its_sections() -> None:
    found = [
        (s.name, [run.block.kind for run in s.runs for _ in run.names]) for s in sections(inspect("resnet50_v2_slim"))
    ]
    units = {name: kinds.count("residual") for name, kinds in found}
    assert units == {"root": 0, "block1": 3, "block2": 4, "block3": 6, "block4": 3, "": 0}
    assert found[-2][1][-1] == "norm"
    assert "3 units, BN · ReLU" in draw(inspect("resnet50_v2_slim"))
    for words in ("7×7 convolution", "3×3 pool"):
        assert words in draw(inspect("resnet34"))


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
