"""One palette: pages have it as variables, files that stand alone as literal values that any program understands."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import residua
from figures.rendering import PROGRAMS, pixels
from residua.anatomy import inspect
from residua.anatomy.drawing import draw
from residua.figures.bars import Bar, bar_chart
from residua.figures.palette import DARK, FONTS, LIGHT, LINES, PRINT, literal, rgb, variables

SOURCE = Path(residua.__file__).parent
COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
SHEETS = [*SOURCE.rglob("*.css"), *SOURCE.rglob("*.j2"), *SOURCE.rglob("*.py")]


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_words_and_lines_stand_out_from_the_paper(colours: dict[str, str]) -> None:
    for name in ("ink", "soft", "accent", "wrong", *LINES):
        for ground in ("paper", "box"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def test_both_themes_have_every_colour() -> None:
    assert LIGHT.keys() == DARK.keys() == PRINT.keys()
    assert all(f"--{name}: {value};" in variables() for name, value in (LIGHT | FONTS).items())
    assert rgb("accent") == (0x1B, 0x5F, 0xA8)


def test_no_colour_stands_elsewhere() -> None:
    found = {path.name: COLOUR.findall(path.read_text(encoding="utf-8")) for path in SHEETS}
    assert [name for name, colours in found.items() if colours] == ["palette.py"]


def test_literal_rules_are_light_with_dark_behind() -> None:
    rules = literal(".a { fill: var(--ink); stroke-width: 2; }\n.b { font: 13px var(--sans); }")
    light, dark = rules.split("@media (prefers-color-scheme: dark)")
    assert ".a { fill: #16191d; stroke-width: 2; }" in light
    assert "system-ui" in light
    assert dark.split() == ["{", ".a", "{", "fill:", "#f2f4f6", "}", "}"]
    with pytest.raises(KeyError):
        literal(".a { fill: var(--mauve); }")


def _alone() -> dict[str, str]:
    bars = [Bar("resnet18, residua", 50.0, 45.0, 55.0, "50.0", "resnet18: 50", True, 0)]
    bars += [Bar("resnet18, <peer>", 40.0, 39.0, 41.0, "40.0", "resnet18: 40", False, 0)]
    return {"bars": bar_chart("Images per second", bars, "a machine"), "drawing": draw(inspect("resnet18"))}


@pytest.mark.parametrize("name", ["bars", "drawing"])
def test_a_file_that_stands_alone_needs_no_variables(name: str) -> None:
    text = _alone()[name]
    root = ElementTree.fromstring(text)
    assert root.get("width")
    assert "var(" not in text
    # Colours that every program applies: none of them behind the media query alone.
    plain = text.split("@media")[0]
    assert LIGHT["ink"] in plain
    assert DARK["ink"] not in plain


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["bars", "drawing"])
def test_a_file_that_stands_alone_is_drawn_outside_of_browsers(name: str, program: str) -> None:
    found = pixels(_alone()[name], program).reshape(-1, 3)
    assert (found == rgb("paper")).all(axis=1).mean() > 0.5
    wanted = {"bars": ("accent", "other"), "drawing": ("residual", "identity", "linear")}[name]
    for colour in wanted:
        assert (found == rgb(colour)).all(axis=1).sum() > 20, colour
