"""Images that do not decode come to light before training, in whichever part they stand, or are left out and said."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from residua._base.errors import InputError
from residua._base.signals import Interrupted
from residua.data.decoded import cache
from residua.training.loop import train
from residua.training.trainer import Trainer
from residua.weights.open import load

MODEL = "cifar_resnet8"
SHORT: dict[str, Any] = {"epochs": 1, "batch_size": 8, "image_size": 16, "workers": 1, "kernels": "eager"}
SHORT |= {"device": "cpu", "progress": False}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with train/, val/ and test/ of two classes, 24, 8 and 8 images."""
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 4), ("test", 4)):
        for label in ("ants", "bees"):
            folder = tmp_path / "photos" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(generator.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "photos"


def spoil(*files: Path) -> None:
    """Damage files without changing their size, which the data's hash looks at."""
    for file in files:
        file.write_bytes(b"x" * file.stat().st_size)


@pytest.mark.parametrize("budget", [cache.BUDGET_BYTES, 0], ids=["kept", "streamed"])
def test_the_bad_images_of_every_part_are_named_at_once_before_training(
    photos: Path, tmp_path: Path, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [photos / place for place in ("train/ants/3.png", "val/bees/1.png", "test/ants/0.png", "test/bees/2.png")]
    spoil(*bad)
    monkeypatch.setattr(cache, "BUDGET_BYTES", budget)
    monkeypatch.setattr(Trainer, "step", lambda *_: pytest.fail("a step was done"))
    with pytest.raises(InputError, match="on_bad='skip'") as error:
        train(photos, MODEL, out=tmp_path / "run", **SHORT)
    assert all(str(file) in str(error.value) for file in bad)
    assert "2 of 8 images of the test part" in str(error.value)


def test_a_refused_request_can_be_corrected_and_repeated(photos: Path, tmp_path: Path) -> None:
    spoil(photos / "test/ants/0.png")
    with pytest.raises(InputError):
        train(photos, MODEL, out=tmp_path / "run", **SHORT)
    run = train(photos, MODEL, out=tmp_path / "run", **SHORT, on_bad="skip")
    assert run.metrics["count"] == 7


@pytest.mark.parametrize("budget", [cache.BUDGET_BYTES, 0], ids=["kept", "streamed"])
def test_images_left_out_are_counted_and_named(
    photos: Path, tmp_path: Path, budget: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil(*(photos / f"train/{label}/{number}.png" for label in ("ants", "bees") for number in range(9)))
    monkeypatch.setattr(cache, "BUDGET_BYTES", budget)
    # One image a batch: some batches would be of bad images alone.
    settings = SHORT | {"on_bad": "skip", "batch_size": 1, "progress": True}
    run = train(photos, MODEL, out=tmp_path / "run", **settings)
    assert run.metrics["steps"] == 6
    said = "18 of 24 train images do not decode, left out"
    assert f"{said}: {photos}/train/ants/0.png (" in capfd.readouterr().err
    assert any(note.startswith(said) for note in load(tmp_path / "run").data["notes"])
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert any(note.startswith(said) for note in report["data"]["notes"])


def stopped(photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train two steps into `out` and stop."""
    step = Trainer.step
    with monkeypatch.context() as patch:

        def stopping(self: Trainer, group: Any) -> None:
            step(self, group)
            if self.global_step == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(Trainer, "step", stopping)
        with pytest.raises(Interrupted):
            train(photos, MODEL, out=out, **SHORT)


def test_a_resumed_run_may_leave_out_what_it_has_not_trained_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(photos, MODEL, out=tmp_path / "whole", **SHORT)
    stopped(photos, tmp_path / "run", monkeypatch)
    spoil(photos / "test/ants/0.png")
    with pytest.raises(InputError, match=r"test/ants/0\.png"):
        train(photos, out=tmp_path / "run", resume=True, progress=False)
    run = train(photos, out=tmp_path / "run", resume=True, progress=False, on_bad="skip")
    assert run.metrics["count"] == 7
    assert run.weights_sha256 == load(tmp_path / "whole").weights_sha256


def test_a_resumed_run_may_not_leave_out_what_it_trained_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(photos, tmp_path / "run", monkeypatch)
    spoil(photos / "train/bees/5.png")
    with pytest.raises(InputError, match=r"1 file differs: train/bees/5\.png has different content.*Restore"):
        train(photos, out=tmp_path / "run", resume=True, progress=False, on_bad="skip")


def test_a_class_that_loses_all_its_images_stops_training(photos: Path, tmp_path: Path) -> None:
    spoil(*(photos / f"train/bees/{number}.png" for number in range(12)))
    with pytest.raises(InputError, match=r"[Nn]o image of bees in the train part decodes: .*train/bees/0\.png"):
        train(photos, MODEL, out=tmp_path / "run", **SHORT, on_bad="skip")
    assert not (tmp_path / "run/model.safetensors").exists()
    # Validation may lack a class.
    shutil.copytree(photos / "train/ants", photos / "train/bees", dirs_exist_ok=True)
    spoil(*(photos / f"val/bees/{number}.png" for number in range(4)))
    assert train(photos, MODEL, out=tmp_path / "run", **SHORT, on_bad="skip").metrics["count"] == 8


def test_an_out_folder_inside_the_data_is_no_class(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos / "train")
    first = train(".", MODEL, out="runs/a", **SHORT)
    second = train(".", MODEL, out="runs/b", **SHORT)
    assert first.classes == second.classes == ("ants", "bees")
    assert first.weights_sha256 == second.weights_sha256


def test_a_class_that_is_left_without_images_stops_the_run(photos: Path, tmp_path: Path) -> None:
    bees = sorted((photos / "train/bees").iterdir())
    spoil(*bees)
    with pytest.raises(InputError, match="no image of bees in the train part decodes") as error:
        train(photos, MODEL, out=tmp_path / "run", **SHORT, on_bad="skip")
    assert bees[0].name in str(error.value)
    assert not (tmp_path / "run").exists()
