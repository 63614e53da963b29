"""Depth without shortcuts, of the list of what the articles name: one test a row, under its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from residua.cli.app import main
from residua.studies.catalog import get_study
from residua.studies.study import StudyOptions
from studies.grids import result, results


def test_row_036_highway_networks_train_by_the_default_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It diverged at step 38: now it is past that step, with a loss that falls, and the rate is stated."""
    command = ["train", "digits", "--model", "highway_mlp50", "--epochs", "2", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    printed = capsys.readouterr().err
    assert "--learning-rate 0.01 in place of the recipe's" in printed
    accuracy = float(printed.split("test accuracy ")[1].split("%")[0])
    assert accuracy > 50


def test_a_study_shows_plain_highway_and_residual() -> None:
    study = get_study("depth-without-shortcuts")
    arms = study.grid(StudyOptions(quick=True))
    assert sorted({arm.x for arm in arms}) == [14, 50, 200, 500]
    kinds = {arm.group for arm in arms}
    assert kinds == {f"{kind}, fully connected" for kind in ("plain", "highway")} | {
        f"{kind}, convolutional" for kind in ("plain", "residual")
    }
    for arm in arms:
        assert arm.spec.input_size == 8
        assert arm.recipe == ({"learning_rate": 0.01} if "connected" in arm.group else {})
    pair = [arm.spec for arm in arms if arm.x == 500 and "connected" in arm.group]
    assert [(spec.gates, spec.width, spec.depth) for spec in pair] == [(False, 71, 500), (True, 50, 500)]  # type: ignore[attr-defined]
    # Plain networks learn to 50 layers, the others to 500.
    found = [result(arm, train=0.9 if "plain" in arm.group and arm.x > 50 else 0.2) for arm in arms]
    outcome = study.conclude(results(arms, found))
    assert outcome.verdict.answer == "yes"
    assert outcome.verdict.numbers["highway, fully connected"] == 500
    assert outcome.verdict.numbers["plain, convolutional"] == 50
    assert outcome.tables[0].rows[0] == ("plain, fully connected", "20.0%", "20.0%", "90.0%", "90.0%")
    learnt = study.conclude(results(arms, [result(arm, train=0.2) for arm in arms]))
    assert learnt.verdict.answer == "no"
    failed = study.conclude(results(arms, found[:-1]))
    assert failed.verdict.answer == "undecided"
