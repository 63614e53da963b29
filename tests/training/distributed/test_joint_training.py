"""Several processes train what one trains: the same curve, one folder, checkpoints of one process."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from residua._base.errors import InputError
from residua.cli.app import main
from residua.data.decode.workers import default_workers
from residua.runtime.distributed.group import ALONE, Group
from residua.runtime.distributed.launch import Launch
from residua.training.distributed.joint import refuse_shards
from residua.training.recipe import Recipe
from training.distributed import processes

AT = 6  # the step, of 8 in two epochs, before which a signal comes: the best epoch is behind it


def _is_stopped() -> None:
    from residua.training.trainer import Trainer

    step = Trainer.step

    def changed(self: Trainer, group: Any) -> None:
        if self.global_step == AT:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, group)

    Trainer.step = changed  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sharded run, stopped by a signal to the second process."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    started = processes.start(folder, 2, {1: {"prepare": _is_stopped}}, sync_norm=True, shard=True)
    assert processes.codes(started) == [143, 143], processes.output(folder, 0)
    return folder


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


def test_the_curve_is_that_of_whole_parameters(one: Path, two: Path, sharded: Path) -> None:
    for single, joint, divided in zip(lines(one), lines(two), lines(sharded), strict=True):
        for name in ("train_loss", "val_loss"):
            assert divided[name] == pytest.approx(joint[name], rel=1e-5), name
            assert divided[name] == pytest.approx(single[name], rel=2e-4), name
        assert divided["step"] == single["step"]


def test_the_bundle_is_that_of_whole_parameters(one: Path, two: Path, sharded: Path) -> None:
    expected, single, tensors = (load_file(folder / "model.safetensors") for folder in (two, one, sharded))
    assert [(n, v.shape, v.dtype) for n, v in tensors.items()] == [(n, v.shape, v.dtype) for n, v in single.items()]
    for name, value in expected.items():
        torch.testing.assert_close(tensors[name], value, rtol=1e-4, atol=1e-5, msg=name)
        torch.testing.assert_close(tensors[name], single[name], rtol=1e-2, atol=1e-3, msg=name)
    assert header(sharded)["computed_with"] == header(two)["computed_with"] | {"sharded": True}


def test_images_are_counted_once_where_parameters_are_divided(sharded: Path) -> None:
    """143 images validate in one batch, so that one process has none; 50 of training are measured."""
    for line in lines(sharded):
        assert line["val_top1"] * 143 == pytest.approx(round(line["val_top1"] * 143), abs=1e-9)
        assert line["train_top1"] * 50 == pytest.approx(round(line["train_top1"] * 50), abs=1e-9)


def test_the_run_states_what_a_process_holds(sharded: Path) -> None:
    assert "this one holds 37,645 of 75,290 parameters" in processes.output(sharded, 0)
    assert processes.output(sharded, 1) == ""


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path, sharded: Path, stopped: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    exits = processes.codes(processes.start(folder, 2, resume=True, sync_norm=True, shard=True))
    assert exits == [0, 0], processes.output(folder, 0) + processes.output(folder, 1)
    assert f"Resumed after step {AT + 1} of 8" in processes.output(folder, 0)
    assert (folder / "model.safetensors").read_bytes() == (sharded / "model.safetensors").read_bytes()


@pytest.mark.parametrize("count", [1, 2])
def test_whole_processes_go_on_with_its_checkpoint(tmp_path: Path, sharded: Path, stopped: Path, count: int) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    shard = {1: True, 2: False}[count]  # one process has nothing to divide
    exits = processes.codes(processes.start(folder, count, resume=True, sync_norm=True, shard=shard))
    assert exits == [0] * count, processes.output(folder, 0)
    output = processes.output(folder, 0)
    assert "sharded True then, False now" in output
    assert ("Sharding divides nothing: this run has one process" in output) == shard
    assert "this one holds" not in output
    for line, other in zip(lines(folder), lines(sharded), strict=True):
        assert line["train_loss"] == pytest.approx(other["train_loss"], rel=2e-4)


@pytest.mark.parametrize(
    ("fields", "named"), [({"optimizer": "muon"}, "optimizer='muon'"), ({"compile": True}, "comp")]
)
def test_what_reads_whole_parameters_is_refused(fields: dict[str, Any], named: str) -> None:
    recipe = Recipe(shard=True, **fields)
    with pytest.raises(InputError, match=f"{named}.* with shard=True in 2 processes"):
        refuse_shards(recipe, Group(Launch(rank=1, count=2)))
    refuse_shards(recipe, ALONE)
    refuse_shards(Recipe(**fields), Group(Launch(rank=1, count=2)))
