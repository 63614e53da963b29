"""TF-slim's article times a forward pass: a line for every tenth step, and the single durations (row 28)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from residua.cli.app import main


def test_row_028_a_line_for_every_tenth_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "speed.json"
    words = ["bench", "cifar_resnet8", "--batch", "1,2", "--batches", "21", "--warm-up", "1", "--verbose", "--json"]
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    results = json.loads(printed.out)["results"]
    assert results == json.loads(out.read_text())["results"]
    lines = re.findall(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}: step (\d+), duration = (\d+\.\d{3}) s \(.*batch (\d),",
        printed.err,
        re.MULTILINE,
    )
    assert [(int(step), int(batch)) for step, _, batch in lines] == [(s, b) for b in (1, 2) for s in (0, 10, 20)]
    for result in results:
        assert len(result["seconds"]) == result["steps"] == 21
        assert sum(result["seconds"]) / 21 == pytest.approx(result["seconds_mean"])
    shown = [result["seconds"][step] for result in results for step in (0, 10, 20)]
    assert [float(duration) for _, duration, _ in lines] == pytest.approx(shown, abs=5.1e-4)
    assert main([word for word in words if word not in ("--verbose", "--json")]) == 0
    assert "duration" not in capsys.readouterr().err
