"""Several processes train what one trains: the same curve, one folder, checkpoints of one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from residua.cli.app import main
from residua.data.decode.workers import default_workers
from training.distributed import processes


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def header(folder: Path) -> dict[str, Any]:
    with safe_open(folder / "model.safetensors", "pt") as stream:
        metrics: dict[str, Any] = json.loads(stream.metadata()["residua"])["metrics"]
        return metrics


def test_the_curve_is_that_of_one_process(one: Path, two: Path) -> None:
    """Mixup, uneven slices, averaged weights, a clipped gradient and the best epoch are all in it."""
    for single, joint in zip(lines(one), lines(two), strict=True):
        for name in ("train_loss", "val_loss"):
            assert joint[name] == pytest.approx(single[name], rel=2e-4), name
        assert joint["step"] == single["step"]
        assert joint["learning_rate"] == single["learning_rate"]
        for name in ("val_top1", "train_top1"):
            assert joint[name] == pytest.approx(single[name], abs=0.04), name


def test_images_are_counted_once(one: Path, two: Path) -> None:
    """143 images validate: a share of them counted twice, or left out, would be no whole number of 143rds."""
    for line in lines(two):
        assert line["val_top1"] * 143 == pytest.approx(round(line["val_top1"] * 143), abs=1e-9)
        assert line["train_top1"] * 50 == pytest.approx(round(line["train_top1"] * 50), abs=1e-9)
    assert header(two)["count"] == header(one)["count"]


def test_the_first_process_alone_writes(two: Path) -> None:
    assert processes.output(two, 1) == ""
    assert "Next: residua predict" in processes.output(two, 0)
    assert not list(two.glob("**/.*.part"))
    assert header(two)["computed_with"]["processes"] == 2


def test_statistics_per_process_are_averaged(one: Path, loose: Path) -> None:
    """Without sync_norm the curve is near."""
    for single, joint in zip(lines(one), lines(loose), strict=True):
        assert joint["train_loss"] == pytest.approx(single["train_loss"], rel=0.05)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 3, "train_images": 20}, "3 images per batch with 2 processes"),
        ({"find_rate": True, "learning_rate": None}, "a search of learning_rate with 2 processes"),
    ],
)
def test_what_cannot_be_divided_is_refused_once(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    folder = tmp_path / "run"
    assert processes.codes(processes.start(folder, 2, **fields)) == [2, 2]
    said = [processes.output(folder, rank) for rank in (0, 1)]
    assert sum(message in each for each in said) == 1, said
    assert not (folder / "checkpoints" / "origin.json").exists()


def test_folds_are_not_shared_between_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "digits", "--folds", "2", "--out", str(tmp_path / "folds")]) == 2
    assert "folds with 2 processes of one run" in capsys.readouterr().err


def test_processes_of_a_host_share_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = default_workers()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert default_workers() == max(1, alone // 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "10000")
    assert default_workers() == 1
