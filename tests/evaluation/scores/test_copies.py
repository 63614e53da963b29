"""Scored images that a run was trained on are counted by their bytes, and nothing false is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from residua._base.run_files import IMAGE_DIGESTS
from residua.cli.app import main
from residua.data.open import open_dataset
from residua.data.shards import index
from residua.data.shards.pack import pack
from residua.evaluation.evaluate import evaluate
from residua.training.loop import train
from residua.weights.ensemble import write_ensemble


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, a run on them, and `other`: two of its training, one validation and three new images."""
    folder = tmp_path_factory.mktemp("copies")
    random = np.random.default_rng(0)

    def picture(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(path)

    for label in ("ants", "bees"):
        for number in range(10):
            picture(folder / "photos" / label / f"{number}.png")
        for number in range(1 if label == "ants" else 2):
            picture(folder / "other" / label / f"new{number}.png")
    options = {"epochs": 1, "min_steps": 0, "batch_size": 16, "image_size": 16, "workers": 1, "kernels": "eager"}
    train(folder / "photos", "cifar_resnet8", out=folder / "run", device="cpu", progress=False, **options)
    parts = open_dataset(folder / "photos").splits
    for number, source in enumerate((parts["train"].where(0), parts["train"].where(9), parts["val"].where(0))):
        label = Path(source).parent.name
        shutil.copy(source, folder / "other" / label / f"copy{number}.png")
    return folder


def test_training_images_among_the_scored_are_counted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(place / "run"), str(place / "other"), "--report", str(place / "report")]) == 0
    sentence = "run was trained on 2 of the 6 images that are scored here, byte for byte: the result flatters it."
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith(f"WARNING: {sentence}")
    document = json.loads((place / "report" / "report.json").read_text())
    assert document["data"]["copies"] == [{"run": "run", "trained_on": 2}]
    assert document["data"]["warning"] == sentence
    assert sentence in (place / "report" / "report.html").read_text()


def test_held_out_images_of_the_own_data_are_no_copies(place: Path) -> None:
    data = evaluate(place / "run").data
    assert data["copies"] == [{"run": "run", "trained_on": 0}]
    assert "warning" not in data


def test_a_copy_within_the_own_data_is_counted(tmp_path: Path, place: Path) -> None:
    shutil.copytree(place / "photos", tmp_path / "photos" / "train")
    shutil.copytree(place / "photos" / "ants", tmp_path / "photos" / "test" / "ants")
    shutil.copytree(place / "other" / "bees", tmp_path / "photos" / "test" / "bees")
    options = {"epochs": 1, "min_steps": 0, "batch_size": 16, "image_size": 16, "workers": 1, "kernels": "eager"}
    train(tmp_path / "photos", "cifar_resnet8", out=tmp_path / "run", progress=False, val_fraction=0.0, **options)
    copied = len(list((tmp_path / "photos" / "test" / "bees").glob("copy*")))
    assert evaluate(tmp_path / "run").data["copies"] == [{"run": "run", "trained_on": 10 + copied}]


def test_without_its_data_the_part_is_not_claimed(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run", tmp_path / "run")
    (place / "photos").rename(place / "away")
    try:
        data = evaluate(tmp_path / "run", place / "other").data
    finally:
        (place / "away").rename(place / "photos")
    assert data["copies"] == [{"run": "run", "in_its_data": 3}]
    assert "held 3 of the 6 images that are scored here" in data["evaluated"]
    (tmp_path / "run" / IMAGE_DIGESTS).unlink()
    data = evaluate(tmp_path / "run", place / "other").data
    assert "copies" not in data
    assert "warning" not in data
    assert "trained on by run was not checked: its folder has no checkpoints/images.npz" in data["unchecked"]


def test_compare_counts_them_too(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "run", tmp_path / "again")
    assert main(["compare", str(place / "run"), str(tmp_path / "again"), str(place / "other")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    sentence = "was trained on 2 of the 6 images that are scored here, byte for byte: the result flatters it."
    assert printed.startswith(f"WARNING: run {sentence} again {sentence}")


def test_what_is_not_checked_is_stated(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "run", tmp_path / "again")
    write_ensemble(tmp_path / "both", [place / "run", tmp_path / "again"])
    assert main(["evaluate", str(tmp_path / "both"), str(place / "other")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "trained on by run, again was not checked: the members of an ensemble's folder keep no hashes" in said
    pack(open_dataset(place / "other", val_fraction=0), tmp_path / "shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "LARGE_IMAGES", 1)
        assert "too large to hash" in evaluate(place / "run", tmp_path / "shards").data["unchecked"]
    assert evaluate(place / "run", tmp_path / "shards").data["copies"] == [{"run": "run", "trained_on": 2}]
