"""Training end to end on digits: the run folder, what is refused, what stops it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import residua.training.trainer as trainer_module
from residua._base.errors import InputError
from residua.training.console.outcome import Diverged
from residua.training.folder.checkpoint import list_checkpoints
from residua.training.loop import train
from residua.training.recipe_file import load_recipe
from residua.training.trainer import Trainer
from residua.weights.open import load

MODEL = "cifar_resnet8"


def test_the_run_folder_is_complete(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()} - {".lock"}
    assert names == {
        "model.safetensors",
        "config.json",
        "recipe.toml",
        "history.jsonl",
        "report.json",
        "report.html",
        "checkpoints",
    }
    lines = [json.loads(line) for line in (finished / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[-1]["step"] == 40
    assert all(math.isfinite(value) for line in lines for value in line.values())
    run = load(finished)
    report = json.loads((finished / "report.json").read_text())
    assert run.metrics["top1"] == report["top1"]
    assert report["history"] == lines
    assert {path.name for path in (finished / "checkpoints").iterdir()} == {
        "origin.json",
        "best.safetensors",
        "last.safetensors",
    }


def test_evaluating_the_run_again_gives_the_reports_numbers(finished: Path) -> None:
    from residua.evaluation.evaluate import evaluate

    report = json.loads((finished / "report.json").read_text())
    again = evaluate(finished, device="cpu")
    assert (again.top1, again.count, again.split) == (report["top1"], report["count"], report["split"])
    assert again.loss == pytest.approx(report["loss"], rel=1e-9)


def test_the_recipe_of_a_run_repeats_it(finished: Path, tmp_path: Path) -> None:
    recipe = load_recipe(finished / "recipe.toml")
    assert recipe.augment.crop == "pad"
    again = train("digits", MODEL, finished / "recipe.toml", tmp_path / "again", progress=False)
    assert again.weights_sha256 == load(finished).weights_sha256


def test_progress_goes_to_stderr_in_plain_lines(
    tmp_path: Path, small: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    train(
        "digits",
        MODEL,
        out=tmp_path / "a",
        **{**small, "epochs": 1, "ema_decay": 0.9, "keep": "best", "precision": "fp32"},
    )
    shown = capfd.readouterr()
    assert shown.out == ""
    for words in (
        "cifar_resnet8 (",
        "CPU, 1 thread: fp32",
        "eager kernels (set by the recipe)",
        "epoch 1/1",
        "images/s",
        "ETA",
        "test accuracy",
    ):
        assert words in shown.err
    assert "\x1b" not in shown.err


def test_a_finished_run_is_left_as_it_is(
    finished: Path, small: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "model.safetensors").read_bytes()
    run = train("digits", MODEL, out=finished, resume=True, **small)
    assert run.folder == finished
    assert "is finished" in capfd.readouterr().err
    assert train("digits", out=finished, resume=True, progress=False).spec.name == MODEL
    assert (finished / "model.safetensors").read_bytes() == before


def test_a_folder_that_holds_a_run_is_refused(finished: Path, small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"already holds a run.*resume=True"):
        train("digits", MODEL, out=finished, progress=False, **small)
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(InputError, match=r"already holds config\.json"):
        train("digits", MODEL, out=tmp_path, progress=False, **small)
    assert (tmp_path / "config.json").read_text() == "mine"


def test_nothing_to_resume_is_refused(tmp_path: Path, small: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="nothing to resume"):
        train("digits", MODEL, out=tmp_path / "a", resume=True, progress=False, **small)


def test_a_resumption_that_differs_names_the_differences(finished: Path, small: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        train("digits", MODEL, out=finished, resume=True, progress=False, **{**small, "epochs": 3, "flip": True})
    assert "epochs is 3 now, was 2" in str(error.value)
    assert "flip is True now, was False" in str(error.value)
    assert f"residua train digits --out {finished} --resume" in str(error.value)
    with pytest.raises(InputError, match=r"network's name is 'cifar_resnet14' now, was 'cifar_resnet8'"):
        train("digits", "cifar_resnet14", out=finished, resume=True, progress=False, **small)
    # Where and how often it saves may change.
    train("digits", MODEL, out=finished, resume=True, progress=False, **{**small, "checkpoint_every_steps": 3})


BAD: list[tuple[dict[str, Any], str]] = [
    ({"batch_size": 0}, "batch_size=0"),
    ({"learning_rate": -1.0}, "learning_rate=-1"),
    ({"device": "cuda:99"}, "cuda:99"),
    ({"device": "abacus"}, "abacus"),
    ({"epoch": 3}, "Did you mean epochs"),
    ({"val_fraction": 0.0, "keep": "best"}, "keep='best' without a validation split"),
    ({"accumulate_steps": 1000}, "Use accumulate_steps=20"),
    ({"kernels": "native", "channels_last": "no"}, "kernels='native'"),
    ({"recipe": "fastt"}, "Did you mean fast"),
]


@pytest.mark.parametrize(("fields", "words"), BAD, ids=[words for _, words in BAD])
def test_what_cannot_be_used_is_refused_before_a_run_begins(
    fields: dict[str, Any], words: str, small: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        train("digits", MODEL, out=tmp_path / "a", progress=False, **{**small, **fields})
    assert not (tmp_path / "a" / "model.safetensors").exists()


def test_a_diverging_loss_stops_the_run_and_leaves_the_last_good_checkpoint(
    tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = trainer_module.learning_rate
    monkeypatch.setattr(
        trainer_module, "learning_rate", lambda recipe, step, **k: 1e30 if step == 24 else rate(recipe, step, **k)
    )
    changes = {**small, "checkpoint_every_steps": 4, "keep_checkpoints": 100}
    with pytest.raises(Diverged) as error:
        train("digits", MODEL, out=tmp_path, progress=False, **changes)
    assert error.value.exit_code == 1
    assert "at step 26" in str(error.value)
    assert "learning rate was" in str(error.value)
    assert re.search(r"Try learning_rate=0\.0[125]+: in a test from the same start", str(error.value))
    kept = list_checkpoints(tmp_path / "checkpoints")
    assert kept[-1].stem == "step-0000000024"


def test_running_out_of_memory_names_the_batch_size_and_what_takes_less(
    tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Trainer, "step", full)
    with pytest.raises(InputError, match=r"batch_size=64.*batch_size=32 and accumulate_steps=2"):
        train("digits", MODEL, out=tmp_path, progress=False, **small)


def test_a_run_without_validation_and_with_everything_else(tmp_path: Path, small: dict[str, Any]) -> None:
    changes = {**small, "val_fraction": 0.0, "max_steps": 9, "accumulate_steps": 3, "optimizer": "adamw"}
    changes |= {"nesterov": False, "learning_rate": 0.002, "cutmix": 1.0, "clip_norm": 0.5, "precision": "bf16"}
    run = train("digits", MODEL, out=tmp_path / "a", progress=False, **changes)
    lines = [json.loads(line) for line in (tmp_path / "a" / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [7, 9]
    assert all(line["val_top1"] is None and line["val_loss"] is None for line in lines)
    assert run.metrics["split"] == "test"


def test_checkpoints_come_by_the_clock_and_the_newest_stay(
    tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save = trainer_module.save_checkpoint

    def noted(folder: Path, checkpoint: Any, *, keep: int) -> Path:
        saved.append(checkpoint.step)
        path = save(folder, checkpoint, keep=keep)
        assert len(list_checkpoints(folder)) == min(keep, len(set(saved)))
        return path

    monkeypatch.setattr(trainer_module, "save_checkpoint", noted)
    changes = {**small, "max_steps": 5, "checkpoint_every_minutes": 1e-9, "keep_checkpoints": 3}
    train("digits", MODEL, out=tmp_path / "a", progress=False, **changes)
    assert saved == [1, 2, 3, 4, 5, 5]


def test_early_stop_ends_the_run(tmp_path: Path, small: dict[str, Any]) -> None:
    changes = {**small, "epochs": 9, "early_stop_epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
    run = train("digits", MODEL, out=tmp_path / "a", progress=False, **changes)
    assert run.metrics["epochs"] < 9
