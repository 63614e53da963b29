"""The page that one learns from, of the list of what the articles name: one test a row, under its number."""

from __future__ import annotations

import re
from pathlib import Path

from residua.cli.app import main
from residua.studies.lessons.course import STEPS, lesson

DOCS = Path(__file__).parents[2] / "docs"


def test_row_102_the_residual_is_explained(tmp_path: Path) -> None:
    """F(x) = H(x) − x: in the guide's page, and in the page that the command makes."""
    assert main(["learn", "--out", str(tmp_path / "learn"), "--short", "--step", "1"]) == 0
    page = (tmp_path / "learn" / "index.html").read_text(encoding="utf-8")
    for text in (page, (DOCS / "learn.md").read_text(encoding="utf-8")):
        assert "F(x) = H(x) − x" in text
        assert "H(x) = F(x) + x" in text
    assert "residua learn" in (DOCS / "guide.md").read_text(encoding="utf-8")


def test_the_committed_page_has_every_step_from_a_run() -> None:
    text = (DOCS / "learn.md").read_text(encoding="utf-8")
    for number in range(1, len(STEPS) + 1):
        one = lesson(number)
        assert f"## {number}. {one.title}" in text
        assert one.source in text
        assert all(f"**{word}**: {meaning}" in text for word, meaning in one.words.items())
    pictures = re.findall(r"!\[[^\]]*\]\((learn/[^)]+)\)", text)
    assert len(pictures) >= len(STEPS)
    for name in pictures:
        assert (DOCS / name).read_text(encoding="utf-8").startswith("<svg")
    kept = {f"learn/{path.name}" for path in (DOCS / "learn").glob("*.svg")}
    assert kept == set(pictures)
    # Two minutes on two processors.
    used = [int(m) * 60 + int(s) for m, s in re.findall(r"with (\d+):(\d\d) of processor time\.\n", text)]
    assert len(used) == len(STEPS)
    assert max(used) <= 240
    assert "reduced form" not in text
