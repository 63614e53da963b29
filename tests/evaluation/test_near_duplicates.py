"""Near copies across parts, found by a run's features where pixels differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.runs import COLOURS, colour_run
from residua.cli.app import main
from residua.evaluation.near_duplicates import KIND, near_duplicates, nearest_to
from residua.weights.open import load


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train, val and test of shades that all differ; one test image is a training image but for a bit."""
    folder, generator = tmp_path_factory.mktemp("near") / "photos", np.random.default_rng(3)
    for part, count in (("train", 8), ("val", 4), ("test", 4)):
        for name in COLOURS:
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = (
                    np.array(COLOURS[name]) * 0.6 + generator.integers(0, 90, 3) + generator.normal(0, 9, (8, 8, 3))
                )
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / part / name / f"{index}.png")
    edited = np.asarray(Image.open(folder / "train" / "red" / "5.png")).copy()
    edited[0, 0] ^= 1
    Image.fromarray(edited).save(folder / "test" / "blue" / "copy.png")
    return folder


def test_the_copy_is_named(photos: Path, tmp_path: Path) -> None:
    finding = near_duplicates(load(colour_run(tmp_path / "run", data=photos)), photos)
    assert finding is not None
    assert (finding.kind, finding.must_fix) == (KIND, False)
    assert (f"{photos}/train/red/5.png", f"{photos}/test/blue/copy.png") in finding.files
    assert len(finding.files) < 12  # of 25 outside the training part: with three features, some are near by chance


def test_distances() -> None:
    rows, distances = nearest_to(np.array([[1.0, 0], [1, 1]]), np.array([[0.0, 2], [3, 0]]))
    assert rows.tolist() == [1, 0]
    assert distances == pytest.approx([0, 1 - 0.5**0.5])


def test_labels_from_a_table(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(path.relative_to(photos) for path in photos.glob("*/*/*.png"))
    rows = [f"{file.as_posix()},{file.parts[1]},{file.parts[0]}" for file in files]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["path,label,split", *rows]))
    flat = shutil.copytree(photos, tmp_path / "flat")
    run = colour_run(tmp_path / "run")
    words = ["check", str(flat), "--labels", str(table), "--run", str(run), "--json"]
    assert main(words) == 0
    (finding,) = [each for each in json.loads(capsys.readouterr().out)["findings"] if each["kind"] == KIND]
    assert any("copy.png" in name for pair in finding["files"] for name in pair)


def test_the_command(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = colour_run(tmp_path / "run", data=photos)
    assert main(["check", str(photos), "--run", str(run), "--json"]) == 0
    kinds = [each["kind"] for each in json.loads(capsys.readouterr().out)["findings"]]
    assert KIND in kinds
    main(["check", str(photos)])
    assert KIND not in capsys.readouterr().out
    assert main(["check", str(photos), "--run", str(tmp_path / "nothing")]) == 2


def test_a_run_of_several_labels_compares_class_folders(photos: Path, labels_run: Path, digit_pairs: Path) -> None:
    finding = near_duplicates(labels_run, photos, device="cpu")
    assert finding is not None
    assert (f"{photos}/train/red/5.png", f"{photos}/test/blue/copy.png") in finding.files
    own = near_duplicates(labels_run, digit_pairs / "PHOTOS", device="cpu")
    assert own is None or own.kind == KIND
