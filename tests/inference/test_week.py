"""The week's job on a messy set, as docs/week.md has it: every line of the page, in order, on a small set."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import residua
from messy import KNOWN, make_messy_set, review
from residua.cli.app import main

PAGE = Path(residua.__file__).parents[2] / "docs" / "week.md"
LINES = [shlex.split(line)[1:] for line in re.findall(r"^ {4}(residua .*)$", PAGE.read_text(), re.MULTILINE)]


def test_the_page_has_the_weeks_commands() -> None:
    order = "check train doubt train train evaluate evaluate compare export predict"
    assert [words[0] for words in LINES] == order.split()


@pytest.mark.slow
def test_the_whole_week(
    tmp_path: Path,
    reference_file: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnxscript", reason="the export wants the extra onnx")
    messy = make_messy_set(reference_file("data/cifar10-jpeg.tar.gz"), tmp_path / "week", 240, 30, 0)
    assert 0.02 <= len(messy.wrong) / len(messy.truth) <= 0.06
    monkeypatch.chdir(tmp_path / "week")
    documents = {}
    for number, written in enumerate(LINES):
        # A short form: fewer epochs and folds, and the size that the set has.
        words = [{"12": "2", "3": "2"}.get(word, word) for word in written]
        words += ["--device", "cpu"] if words[0] in ("train", "evaluate", "compare", "predict") else []
        assert main([*words, "--json"]) == 0, words
        documents[number] = json.loads(capsys.readouterr().out)
        if words[0] == "doubt":
            rows = csv.DictReader(Path("doubts.csv").read_text().splitlines())
            assert {row["path"] for row in rows} <= set(messy.truth)
            doubted, corrected = review(Path("doubts.csv"), messy)
            assert 0 < corrected <= doubted
            assert "<img" in Path("doubts.html").read_text()
    check, _, _, _, folds, _, judged, compared, *_ = documents.values()
    assert check["ok"]
    assert len(folds["folds"]) == 2
    assert folds["pooled"]["count"] == len(messy.truth)
    assert judged["count"] == 30
    assert judged["rejection"] is not None
    assert judged["unknown"]["count"] == 30
    assert {row["name"] for row in compared["runs"]} == {"first", "second"}
    assert Path("exported/certificate.json").is_file()
    sorted_files = {path.name for path in Path("sorted").glob("*/*")}
    assert sorted_files == {path.name for path in messy.inbox.iterdir()}
    assert {path.name for path in Path("sorted").iterdir() if path.is_dir()} <= {*KNOWN, "unknown", "unsure"}
    assert len(list(messy.inbox.iterdir())) == len(sorted_files), "copied, not moved"
    records = json.loads(Path("runs/second/report.json").read_text())
    assert "labels were corrected" in " ".join(records["data"]["notes"])
