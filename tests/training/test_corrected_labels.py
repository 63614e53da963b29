"""A run on corrected labels: recorded, evaluated as corrected, and bit for bit the same after an interruption."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from residua._base.errors import InputError
from residua._base.signals import Interrupted
from residua.evaluation.run_data import open_for
from residua.training.loop import train
from residua.training.trainer import Trainer
from residua.weights.open import load
from residua.weights.run import Run

MODEL = "cifar_resnet8"
SHORT: dict[str, Any] = {"epochs": 1, "batch_size": 8, "image_size": 16, "workers": 1, "kernels": "eager"}
SHORT |= {"device": "cpu", "progress": False}
CORRECTIONS = "path,label\nants/00.png,bees\nbees/01.png,\n"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corrected") / "photos"
    generator = np.random.default_rng(0)
    for label in ("ants", "bees"):
        (folder / label).mkdir(parents=True)
        for number in range(16):
            Image.fromarray(generator.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / label / f"{number:02}.png")
    (folder.parent / "corrections.csv").write_text(CORRECTIONS)
    return folder


@pytest.fixture(scope="module")
def corrected(photos: Path) -> Run:
    return train(photos, MODEL, out=photos.parent / "whole", corrections=photos.parent / "corrections.csv", **SHORT)


def test_the_run_records_what_it_was_trained_on(corrected: Run, photos: Path) -> None:
    plain = train(photos, MODEL, out=photos.parent / "plain", **SHORT)
    assert corrected.data["corrections"] == {"ants/00.png": "bees", "bees/01.png": ""}
    assert corrected.data["hash"] != plain.data["hash"]
    assert corrected.weights_sha256 != plain.weights_sha256
    note = "1 label was corrected, 1 image was left out, as corrections state"
    assert note in json.loads((corrected.folder / "report.json").read_text())["data"]["notes"]
    # Evaluation sees the data as training did, wherever it is named.
    for data in (None, photos):
        dataset = open_for(corrected, data, None, None)
        assert dataset.hash == corrected.data["hash"]
        assert sum(map(len, dataset.splits.values())) == 31


def test_an_interrupted_run_goes_on_with_its_corrections(
    corrected: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out, step = tmp_path / "corrections.csv", tmp_path / "run", Trainer.step
    file.write_text(CORRECTIONS)
    with monkeypatch.context() as patch:

        def stopping(self: Trainer, group: Any) -> None:
            step(self, group)
            if self.global_step == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(Trainer, "step", stopping)
        with pytest.raises(Interrupted):
            train(photos, MODEL, out=out, corrections=file, **SHORT)
    file.write_text("path,label\nants/00.png,bees\n")
    with pytest.raises(InputError, match="the corrections of labels are others now"):
        train(photos, out=out, resume=True, progress=False, corrections=file)
    file.unlink()  # what was recorded is enough
    train(photos, out=out, resume=True, progress=False)
    assert load(out).weights_sha256 == corrected.weights_sha256
    assert load(out).data == corrected.data


def test_corrections_that_do_not_fit_leave_nothing(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "corrections.csv").write_text("path,label\nants/00.png,wasps\n")
    with pytest.raises(InputError, match=r"line 2 \(ants/00.png\) to 'wasps'"):
        train(photos, MODEL, out=tmp_path / "run", corrections=tmp_path / "corrections.csv", **SHORT)
    assert not (tmp_path / "run").exists()
