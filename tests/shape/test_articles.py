"""The list of what the articles name has 109 rows; each has one test under its number, or stands below as missing."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "articles"
ROWS = range(1, 110)
# Rows without a test. The set only shrinks: a row whose test is written leaves it.
MISSING: set[int] = set()


def _tests() -> Counter[int]:
    """Count the tests of each row."""
    names = [
        node.name
        for path in sorted(FOLDER.glob("test_*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    return Counter(int(number[1]) for name in names if (number := re.match(r"test_row_(\d{2,3})_", name)))


def test_every_row_has_its_test() -> None:
    untested = sorted(set(ROWS) - _tests().keys() - MISSING)
    assert not untested, f"no test_row_NNN_… in {FOLDER.name}/ for {untested}"


def test_no_row_has_two_tests() -> None:
    twice = sorted(number for number, count in _tests().items() if count > 1)
    assert not twice, f"several tests for {twice}: one a row, others without a number"
    unknown = sorted(_tests().keys() - set(ROWS))
    assert not unknown, f"tests of rows that the list does not have: {unknown}"


def test_rows_with_a_test_are_not_missing() -> None:
    done = sorted(MISSING & _tests().keys())
    assert not done, f"take {done} out of MISSING"
