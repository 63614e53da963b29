"""The verdicts of the benchmarks of accuracy: intervals over seeds and photos, and what holds."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: importlib.import_module(name)


def judged(right: str) -> dict[str, Any]:
    return {"top1": right.count("1") / len(right), "images": len(right), "right": right}


def test_few_photos_widen_the_interval(benchmark: Any) -> None:
    fast_recipe: ModuleType = benchmark("fast_recipe")
    ours, theirs = [judged("1100"), judged("1000")], [judged("1110"), judged("1101")]
    rows = {"fast": ours, "torchvision": [judged("0000"), judged("1000")], "timm": theirs, "ultralytics": ours}
    verdict = fast_recipe.verdict(rows)
    assert verdict["best_peer"] == "timm"
    assert verdict["difference"]["value"] == pytest.approx(-0.375)
    # Image by image, means over two seeds: 1, .5, 0, 0 less 1, 1, .5, .5.
    over_images = 1.96 * math.sqrt(((0.375**2) + 3 * 0.125**2) / 3) / 2
    seeds = verdict["difference_over_seeds_alone"]
    half = math.hypot(seeds["high"] + 0.375, over_images)
    assert verdict["difference"]["high"] == pytest.approx(-0.375 + half)
    assert verdict["difference"]["low"] == pytest.approx(-0.375 - half)
    for row in ours:
        del row["right"]
    alone = fast_recipe.verdict(rows)
    assert alone["difference"]["high"] == pytest.approx(seeds["high"]), "not recorded: over the seeds alone"


def test_a_goal_holds_in_its_time_and_by_its_mean(benchmark: Any) -> None:
    accuracy_in_time: ModuleType = benchmark("accuracy_in_time")
    goal = accuracy_in_time.GOALS[1]
    runs = [{"top1": 0.84, "seconds": 290.0}, {"top1": 0.87, "seconds": 299.0}]
    outcome = accuracy_in_time.verdict(goal, runs)
    assert outcome["holds"]
    assert not accuracy_in_time.verdict(goal, [{**runs[0], "seconds": 301.0}, runs[1]])["holds"]
    assert not accuracy_in_time.verdict(goal, [runs[0]])["holds"]
    machine = {"processor": "a processor", "threads": "2 of 2 processors"}
    rows = {goal.name: {"ours": runs, "peer": {"top1": 0.5, "epochs": 2.04}, "verdict": outcome}}
    page = accuracy_in_time.table({"machine": machine, "goals": rows})
    assert "85.50% ± 2.12 (wanted 85.0%) | 294 (290 to 299); 300 allowed | 50.00% after 2.0 epochs |" in page
