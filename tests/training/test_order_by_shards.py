"""Training that takes shards in turn: stopped in mid-epoch, it goes on to the same weights; bad images are counted."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from residua._base.signals import Interrupted
from residua.data.open import open_dataset
from residua.data.shards import pack as packing
from residua.training.loop import train
from residua.training.trainer import Trainer

WINDOW: dict[str, Any] = {"shuffle_window": 250, "progress": False, "val_fraction": 0.1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in eight shards; one training image does not decode."""
    folder = tmp_path_factory.mktemp("shards") / "shards"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_plans", lambda split, size, real=packing._plans: real(split, 37_500))
        packing.pack(open_dataset("digits", val_fraction=0), folder)
    images = open_dataset(folder, val_fraction=0.1).splits["train"].images
    with (folder / "train-000000.tar").open("r+b") as stream:
        stream.seek(int(images._offsets[0]))
        stream.write(b"no image")
    (folder / "index.json").unlink()  # it states the hash of the whole shard
    return folder


def test_a_run_stopped_in_mid_epoch_goes_on_to_the_same_weights(
    shards: Path, tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**small, **WINDOW, "on_bad": "skip"}
    whole = train(shards, "cifar_resnet8", out=tmp_path / "whole", **options)
    step = Trainer.step

    def stopping(self: Trainer, group: Any) -> None:
        step(self, group)
        if self.global_step == 27:  # of 20 in an epoch
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        with pytest.raises(Interrupted):
            train(shards, "cifar_resnet8", out=tmp_path / "stopped", **options)
    # Other threads: the order is none of their making.
    resumed = train(shards, out=tmp_path / "stopped", resume=True, progress=False, workers=3)
    assert resumed.weights_sha256 == whole.weights_sha256
    for run in (whole, resumed):
        notes = json.loads((run.folder / "report.json").read_text())["data"]["notes"]
        assert any("1 of 1,29" in note and "left out" in note for note in notes), notes
        assert any("shuffles within windows of 250 images" in note for note in notes)


def test_a_run_that_refuses_bad_images_names_the_one_that_it_meets(
    shards: Path, tmp_path: Path, small: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"train-000000\.tar/"):
        train(shards, "cifar_resnet8", out=tmp_path / "refused", **small, **WINDOW)
