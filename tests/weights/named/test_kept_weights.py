"""The weights that a training keeps for each epoch, opened as a run of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import residua
from residua._base.errors import InputError
from residua.cli.app import main
from residua.evaluation.calibrate import calibrate
from residua.weights.bundle.value import hash_tensors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three short epochs, of which `keep="every"` left a file each."""
    folder = tmp_path_factory.mktemp("kept") / "a"
    options = {"epochs": 3, "batch_size": 64, "image_size": 16, "workers": 1, "device": "cpu", "kernels": "eager"}
    options |= {"precision": "fp32", "learning_rate": 0.05, "keep": "every", "progress": False}
    residua.train("digits", model="cifar_resnet8", out=folder, **options)
    return folder


def _epoch(folder: Path, number: int) -> Path:
    return folder / f"checkpoints/epoch-{number:04d}.safetensors"


def test_each_epoch_scores_what_its_training_measured(folder: Path) -> None:
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    for line in history:
        report = residua.evaluate(_epoch(folder, line["epoch"]), split="val", device="cpu")
        assert report.top1 == pytest.approx(line["val_top1"])
        assert report.loss == pytest.approx(line["val_loss"], rel=1e-5)
        assert report.name == f"a/epoch-000{line['epoch']}"


def test_it_is_the_run_with_these_weights(folder: Path) -> None:
    run, first = residua.load(folder), residua.load(_epoch(folder, 1))
    assert (first.spec, first.classes, first.preprocess_spec) == (run.spec, run.classes, run.preprocess_spec)
    tensors = load_file(_epoch(folder, 1))
    assert hash_tensors(tensors) == first.weights_sha256 != run.weights_sha256
    assert first.metrics == {}
    assert all(torch.equal(first.model.state_dict()[name], value) for name, value in tensors.items())
    assert residua.load(folder / "checkpoints/best.safetensors").weights_sha256 == run.weights_sha256


def test_commands_take_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder), "--with", str(_epoch(folder, 1)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "a + a/epoch-0001"
    image = folder.parent / "grey.png"
    Image.new("L", (8, 8), 90).save(image)
    answers = []
    for run in (folder / "checkpoints/best.safetensors", folder):
        assert main(["predict", str(run), str(image), "--json"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]


def test_a_temperature_is_not_carried_over_nor_stored(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "b"
    shutil.copytree(folder, copied)
    calibrate(copied)
    assert residua.load(copied).calibration is not None
    assert residua.load(_epoch(copied, 2)).calibration is None
    with pytest.raises(InputError, match="b/epoch-0002 to calibrate, weights that its training kept"):
        calibrate(_epoch(copied, 2))


def test_what_is_not_there_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"kept; there: epoch-0001\.safetensors to epoch-0003"):
        residua.load(_epoch(folder, 4))
    copied = tmp_path / "b"
    shutil.copytree(folder, copied)
    other = load_file(_epoch(copied, 1))
    other.pop("fc.bias")
    save_file(other, _epoch(copied, 1))
    with pytest.raises(InputError, match=r"epoch-0001.safetensors: the parts do not fit each other: .*fc\.bias"):
        residua.load(_epoch(copied, 1))
    _epoch(copied, 2).write_bytes(_epoch(copied, 2).read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read as weights"):
        residua.load(_epoch(copied, 2))
    (copied / "model.safetensors").unlink()
    with pytest.raises(InputError, match="whose training has not ended"):
        residua.load(_epoch(copied, 3))
