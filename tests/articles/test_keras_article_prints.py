"""The Keras article's run: what it prints of its data, of each epoch, and of what it saves (rows 65 and 67)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import residua
from residua.training.trainer import Trainer

SMALL: dict[str, Any] = {"image_size": 16, "workers": 1, "kernels": "eager", "device": "cpu", "train_images": 160}
SMALL |= {"recipe": "keras", "batch_size": 32, "milestones": [1, 2], "gamma": [0.1, 0.1], "precision": "fp32"}


def _train(folder: Path, **more: Any) -> residua.Run:
    return residua.train("digits", "cifar_resnet8", out=folder, **{**SMALL, "epochs": 3, **more})


def _history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_row_054_shapes_and_counts_of_the_data_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As x_train.shape, the counts and y_train.shape."""
    _train(tmp_path / "a")
    printed = capsys.readouterr().err
    assert "train: images (160, 3, 16, 16) as the network sees them, labels (160,) of 10 classes" in printed
    assert "test: images (359, 3, 16, 16) as the network sees them, labels (359,) of 10 classes" in printed


def test_row_065_the_learning_rate_of_each_epoch_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _train(tmp_path / "a")
    printed = capsys.readouterr().err
    assert re.findall(r"^Epoch (\d): learning rate (\S+)$", printed, re.MULTILINE) == [
        ("1", "0.001"),
        ("2", "0.0001"),
        ("3", "1e-05"),
    ]


def test_row_067_what_improved_and_what_was_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _train(tmp_path / "a", keep="every", learning_rate=0.05, gamma=[1.0, 0.5])
    printed = capsys.readouterr().err
    best, seen = None, 0
    for line in _history(tmp_path / "a"):
        top1, epoch = line["val_top1"], line["epoch"]
        seen += 1
        if best is None or top1 > best:
            wanted = f"val accuracy {'' if best is None else f'improved from {best:.2%} to '}{top1:.2%}"
            wanted += ", the first" if best is None else ""
        elif top1 == best:
            wanted = f"val loss improved at the same accuracy, {top1:.2%}"
            wanted = wanted if wanted in printed else f"val accuracy {top1:.2%} did not improve from {best:.2%}"
        else:
            wanted = f"val accuracy {top1:.2%} did not improve from {best:.2%}"
        assert f"Epoch {epoch}: {wanted}, saved as epoch-000{epoch}.safetensors\n" in printed
        best = max(top1, best or 0.0)
    assert seen == 3
    kept = run.metrics["best_epoch"]
    assert f"Kept: the weights of epoch {kept}, the best (val accuracy {best:.2%})" in printed
    assert f"test accuracy {run.metrics['top1']:.2%} (95% interval" in printed
    assert f"359 images) and loss {run.metrics['loss']:.4f} after" in printed
    weights = load_file(tmp_path / f"a/checkpoints/epoch-000{kept}.safetensors")
    ours = run.model.state_dict()
    assert weights.keys() == ours.keys()
    assert all(ours[name].equal(value) for name, value in weights.items())
    size = sum(value.nbytes for value in weights.values()) / 1e6
    assert f"up to 3 files of {size:,.1f} MB, {3 * size:,.1f} MB in all" in printed


def test_every_epochs_file_survives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a run that was killed in its second epoch are those of one that was not, to the byte."""
    _train(tmp_path / "whole", keep="every", progress=False)
    step = Trainer.step

    class Killed(BaseException):
        pass

    def killed(self: Trainer, group: Any) -> None:
        if self.global_step == 8:
            raise Killed
        step(self, group)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(Killed):
            _train(tmp_path / "killed", keep="every", progress=False, checkpoint_every_steps=3, keep_checkpoints=1)
    assert (tmp_path / "killed/checkpoints/epoch-0001.safetensors").exists()
    residua.train("digits", out=tmp_path / "killed", resume=True, progress=False)
    names = [f"epoch-000{number}.safetensors" for number in (1, 2, 3)]
    for folder in ("whole", "killed"):
        assert sorted(path.name for path in (tmp_path / folder / "checkpoints").glob("epoch-*")) == names
    for name in names:
        first, second = (tmp_path / folder / "checkpoints" / name for folder in ("whole", "killed"))
        assert first.read_bytes() == second.read_bytes()


def test_without_validation_every_keeps_the_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _train(
        tmp_path / "a", keep="every", val_fraction=0.0, epochs=1, milestones=[1], gamma=[0.1], plateau_factor=0
    )
    assert "Kept: the weights of epoch 1, the last\n" in capsys.readouterr().err
    weights = load_file(tmp_path / "a/checkpoints/epoch-0001.safetensors")
    assert all(run.model.state_dict()[name].equal(value) for name, value in weights.items())
