"""The page on recipes is what its result states, and its arithmetic is right."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

from residua.training.recipe_file import load_recipe, override

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ablation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which lies beside the package."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("recipe_ablation")


def test_the_page_is_written_from_the_result(ablation: ModuleType) -> None:
    result = json.loads(ablation.RESULT.read_text()) if ablation.RESULT.exists() else {}
    assert ablation.PAGE.read_text(encoding="utf-8") == ablation.page(result)


def test_a_gain_is_taken_seed_by_seed(ablation: ModuleType) -> None:
    row = ablation.ROWS[0]
    scores = {0: (0.80, 0.83), 1: (0.82, 0.83), 2: (0.70, 0.72)}
    runs = {row.data: {}}
    for seed, (off, on) in scores.items():
        runs[row.data][ablation.key_of(row.off, seed)] = {"top1": off, "seconds": 10.0, "judging_seconds": 0.0}
        runs[row.data][ablation.key_of(row.on, seed)] = {"top1": on, "seconds": 14.0, "judging_seconds": 1.0}
    found = ablation.gains(row, runs)
    assert found["gain"] == pytest.approx((2.0, 1.0))
    assert found["off"][0] == pytest.approx(77.3333, abs=1e-3)
    assert (found["time"], found["seeds"]) == (pytest.approx(1.5), 3)
    assert ablation.gains(ablation.ROWS[1], runs) is None
    text = ablation.page({"runs": runs})
    assert "| +2.00 ± 1.00 | 1.50 | 3 |" in text
    assert "not measured" in text


def test_every_row_is_a_recipe(ablation: ModuleType) -> None:
    for row in ablation.ROWS:
        recipe = load_recipe("fast", photos=row.data == "photos")
        on, off = override(recipe, **row.on), override(recipe, **row.off)
        assert on != off, row.what
