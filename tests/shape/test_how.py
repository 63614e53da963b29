"""The recipes of docs/how point at what is there: their edits find their text, and the files that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/how").glob("*.md"))
# A fence that changes a file: what to do, the file, the text that stands there.
EDIT = re.compile(r"^```python (?:insert (?P<file>\S+) before|replace (?P<other>\S+)) +(?P<text>.+)$", re.MULTILINE)
NEW = re.compile(r"^```python (?P<file>src/\S+)$", re.MULTILINE)
NAMED = re.compile(r"`((?:src/residua|tests|tools|docs)/[\w/.]+)`")


def _edits() -> list[tuple[str, str, str]]:
    return [
        (page.name, match["file"] or match["other"], match["text"])
        for page in PAGES
        for match in EDIT.finditer(page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("page", "file", "text"), _edits(), ids=lambda value: value if "/" in value else "")
def test_the_text_that_an_edit_replaces_stands_once(page: str, file: str, text: str) -> None:
    assert (ROOT / file).read_text(encoding="utf-8").count(text) == 1, f"{page}: {text!r} in {file}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    made = set(NEW.findall(text))
    absent = [name for name in NAMED.findall(text) if name not in made and not (ROOT / name).exists()]
    assert not absent, f"{page.name}: {absent}"


def test_each_recipe_changes_something_and_makes_something() -> None:
    recipes = {page.name for page in PAGES if page.stem.startswith("add_")}
    assert recipes == {page for page, _, _ in _edits()}
    assert all(NEW.search((ROOT / "docs/how" / name).read_text(encoding="utf-8")) for name in recipes)
