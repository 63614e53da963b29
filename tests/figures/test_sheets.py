"""Style sheets are layered: a rule stands once, in the layer of those that share it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

import residua
from residua.figures.pages import environment
from residua.figures.palette import variables
from residua.figures.sheets import rules, standing_alone

SOURCE = Path(residua.__file__).parent
PAGES = {"report": "residua.evaluation.report", "study": "residua.studies"}
SHEETS = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.css"))
_COMMENT = re.compile(r"/\*.*?\*/|\{#.*?#\}|\{%.*?%\}", re.DOTALL)


def _declarations(sheet: str) -> list[tuple[str, str, str]]:
    """Return (medium, selector, declaration) of each rule; selectors of a list count one by one."""
    found, medium = [], ""
    for head, end in re.findall(r"([^{};]*(?:;|(?=[{}])))([{}]?)", _COMMENT.sub("", sheet)):
        text = " ".join(head.split())
        if end == "{" and text.startswith("@"):
            medium = text
        elif end == "{":
            selectors = [each.strip() for each in text.split(",")]
        elif text.rstrip(";"):
            found += [(medium, selector, text.rstrip("; ")) for selector in selectors]
        elif end == "}":
            medium, selectors = (medium, []) if selectors else ("", [])
    return found


def _sheet(page: str) -> str:
    return environment(PAGES[page]).get_template(f"{page}.css").render().replace(variables(), "")


def test_declarations_are_found() -> None:
    sheet = "a, b { x: 1; y: 2 } @media print { a { x: 1; } c { z: 3; } } d { x: 1; }"
    wanted = [("", "a", "x: 1"), ("", "b", "x: 1"), ("", "a", "y: 2"), ("", "b", "y: 2")]
    wanted += [("@media print", "a", "x: 1"), ("@media print", "c", "z: 3"), ("", "d", "x: 1")]
    assert _declarations(sheet) == wanted


@pytest.mark.parametrize("page", PAGES)
def test_no_rule_of_a_page_is_stated_twice(page: str) -> None:
    twice = [rule for rule, times in Counter(_declarations(_sheet(page))).items() if times > 1]
    assert not twice, f"{page}.css: " + "; ".join(map(str, twice))


def test_no_rule_stands_in_two_sheets() -> None:
    stated = {name: set(_declarations((SOURCE / name).read_text(encoding="utf-8"))) for name in SHEETS}
    assert len(stated) >= 8
    for one, other in itertools.combinations(SHEETS, 2):
        assert not stated[one] & stated[other], f"{one} and {other}: move it to the layer that both share"


@pytest.mark.parametrize("name", ["bars.css", "network.css"])
def test_a_drawing_that_stands_alone_holds_literal_colours(name: str) -> None:
    assert "var(--paper)" in rules(name)
    assert "{#" not in rules(name)
    sheet = standing_alone(name)
    assert "var(" not in sheet
    assert ".paper { fill: #ffffff; }" in sheet
    assert ".end { text-anchor: end; }" in sheet
    assert "@media (prefers-color-scheme: dark)" in sheet
