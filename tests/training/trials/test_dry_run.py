"""A dry run states what a training would be, and makes none."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from residua._base.signals import Interrupted
from residua.cli.app import main
from residua.training.trials import dry_run as trial
from residua.training.trials.dry_run import DryRun, dry_run


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, small: dict[str, Any]) -> DryRun:
    return dry_run("digits", "cifar_resnet8", progress=False, **small)


def test_it_states_network_shapes_and_memory(outcome: DryRun) -> None:
    assert outcome.parameters == 75_290
    assert outcome.images == {"train": 1295, "val": 143, "test": 359}
    assert outcome.batch == (64, 3, 16, 16)
    assert outcome.shapes["layer3"] == (64, 64, 4, 4)
    assert outcome.memory_bytes > 4 * 75_290 * 3
    assert outcome.divisible_bytes == 4 * 75_290 * 3  # weights, gradients, momentum
    assert outcome.computed_with["kernels"] == "eager"
    assert [note.split(":")[0] for note in outcome.notes if "flip" in note] == ["flip=False in place of the recipe's"]


def test_the_estimate_adds_up(outcome: DryRun) -> None:
    assert outcome.measured_steps == 12
    assert outcome.steps == outcome.epochs * outcome.steps_per_epoch
    assert 0 < outcome.seconds_per_step < 5
    assert outcome.images_per_second == pytest.approx(64 / outcome.seconds_per_step)
    assert outcome.seconds_per_epoch >= outcome.steps_per_epoch * outcome.seconds_per_step
    assert outcome.seconds >= outcome.epochs * outcome.seconds_per_epoch
    assert outcome.rate_search is None


def test_the_command_writes_the_picture_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "digits", "--model", "cifar_resnet8", "--dry-run", "--image-size", "16", "--kernels", "eager"]
    words += ["--train-images", "64", "--batch-size", "16", "--epochs", "1", "--min-steps", "0", "--out", "run"]
    assert main([*words, "--first-batch", "batch.png", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["batch"] == [16, 3, 16, 16]
    assert document["measured_steps"] == 12, "a short run's epochs repeat"
    assert "first_batch" not in document
    assert [path.name for path in tmp_path.iterdir()] == ["batch.png"]
    with Image.open("batch.png") as picture:
        assert picture.size == (968, 286)
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "layer3  16 × 64 × 4 × 4" in printed
    assert "--shard divides parameters, gradients and optimizer state, 0.9 MB, by the number of processes" in printed
    assert "for the run" in printed


def test_wrong_options_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "digits", "--model", "cifar_resnet8", "--out", str(tmp_path / "a")]
    assert main([*words, "--first-batch", str(tmp_path / "b.png")]) == 2
    assert "Give --dry-run too" in capsys.readouterr().err
    assert main([*words, "--dry-run", "--first-batch", str(tmp_path / "b.jpg")]) == 2
    assert main([*words, "--dry-run", "--resume"]) == 2
    capsys.readouterr()
    for option, value in (("--track", "wandb"), ("--jobs", "2")):
        assert main([*words, "--dry-run", option, value]) == 2
        error = capsys.readouterr().err
        assert option in error
        assert "dry run" in error
    assert not list(tmp_path.iterdir())


def test_a_stopped_dry_run_names_no_run_to_go_on_with(monkeypatch: pytest.MonkeyPatch, small: dict[str, Any]) -> None:
    monkeypatch.setattr(trial, "settled_plan", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted) as error:
        dry_run("digits", "cifar_resnet8", progress=False, **small)
    assert str(error.value) == "Stopped by Ctrl-C while it made ready: nothing is lost"
    assert error.value.exit_code == 130
