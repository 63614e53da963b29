"""Tables and lines on narrow terminals: nothing breaks within a word or a number, and nothing is lost."""

from __future__ import annotations

import re

import pytest

from residua._base.words import wrapped
from residua.cli import show, tables
from residua.cli.app import main
from residua.cli.commands import models


@pytest.fixture
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 characters on both streams."""
    for module in (show, tables, models):
        monkeypatch.setattr(module, "terminal_width", lambda stream: 80)


def words(text: str) -> list[str]:
    return re.findall(r"[^\s-]\S*", text)


def test_pipes_have_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(("a", "b"), [("x" * 90, "1"), ("y", "22")], right=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["a" + " " * 89 + "   b", "-" * 90 + "  --", "x" * 90 + "   1", "y" + " " * 89 + "  22"]


@pytest.mark.usefixtures("eighty")
def test_text_wraps_between_words(capsys: pytest.CaptureFixture[str]) -> None:
    paper = "a paper with a long title that goes on and on, and then some, arXiv 1512.03385"
    tables.print_table(("name", "params", "paper"), [("resnet18", "11,689,512", paper)], right=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 4
    assert words(" ".join(lines[2:])) == ["resnet18", "11,689,512", *words(paper)]


@pytest.mark.usefixtures("eighty")
def test_columns_that_do_not_fit_follow_below(capsys: pytest.CaptureFixture[str]) -> None:
    header = ("run", *(f"column{at}" for at in range(12)))
    rows = [(f"run{row}", *(f"{row + 1},{at:03},000" for at in range(12))) for row in range(3)]
    tables.print_table(header, rows, right=range(1, 13))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    for cell in (cell for row in (header[1:], *(row[1:] for row in rows)) for cell in row):
        assert words(printed).count(cell) == 1
    assert words(printed).count("run1") == 2


@pytest.mark.usefixtures("eighty")
@pytest.mark.parametrize("command", ["models", "inspect cifar_resnet8", "diff resnet50 resnet50_v1"])
def test_commands_fit_a_terminal_of_80(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(command.split()) == 0
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 80
    if command == "models":
        assert "11.69 M" in narrow
        return
    for module in (show, tables):
        monkeypatch.setattr(module, "terminal_width", lambda stream: None)
    assert main(command.split()) == 0
    assert set(words(capsys.readouterr().out)) <= set(words(narrow))


def test_lines_end_between_words_and_keep_their_margin() -> None:
    line = "  for 90% right: from 0.93 on;  here 81% answered, 1,234,567 of them right and so on and on"
    broken = wrapped(line, 40)
    assert max(map(len, broken.split("\n"))) <= 40
    assert words(broken) == words(line)
    assert all(each.startswith("    ") for each in broken.split("\n")[1:])
    assert wrapped(line, None) == line
    assert wrapped("x" * 100, 40) == "x" * 100
    assert "\n" not in wrapped("short", 40)
