"""Doubted labels: found where they are wrong, said who judged, and fed back as corrections."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.runs import COLOURS, colour_folder, colour_run
from residua._base.errors import InputError
from residua.cli.app import main
from residua.data.corrections import read_corrections
from residua.data.open import open_dataset
from residua.grids.folds.out_of_fold import OUT_OF_FOLD, OutOfFold
from residua.labels.corrections_file import write_corrections
from residua.labels.doubt import Doubts, doubt
from residua.labels.judges import folds_of
from residua.weights.open import load
from residua.weights.run import Run

WRONG = [("red", "blue"), ("green", "red"), ("blue", "green")]
PATHS = {f"{name}/wrong{index}.png": colour for index, (name, colour) in enumerate(WRONG)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = colour_folder(tmp_path_factory.mktemp("photos") / "photos", WRONG)
    generator = np.random.default_rng(0)
    for path in sorted(folder.rglob("*.png")):  # none equals another
        pixels = np.asarray(Image.open(path)).astype(int) + generator.integers(-30, 31, (8, 8, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def run(photos: Path) -> Run:
    return load(colour_run(photos.parent / "run", data=photos))


@pytest.fixture(scope="module")
def doubts(run: Run) -> Doubts:
    return doubt(run, folds=4)


def test_wrong_labels_are_doubted_and_the_right_one_is_suggested(doubts: Doubts, run: Run, photos: Path) -> None:
    assert {each.path: each.suggested for each in doubts.doubts} == PATHS
    assert doubts.images == 33
    assert 0.05 < doubts.share < 0.15
    # Who had learnt from a label is stated, image by image.
    val = open_dataset(photos, val_fraction=0.2, seed=4).splits["val"]
    held_out = {f"{Path(val.where(index)).parent.name}/{Path(val.where(index)).name}" for index in range(len(val))}
    assert doubts.unseen == len(held_out)
    assert {each.path for each in doubts.doubts if each.unseen} == held_out & set(PATHS)
    for each in doubts.doubts:
        assert {near.label for near in each.neighbours} == {each.suggested}
        assert each.path not in {near.path for near in each.neighbours}
    margins = [each.margin for each in doubts.doubts]
    assert margins == sorted(margins)


def test_what_a_run_held_out_it_may_judge_itself(run: Run) -> None:
    judged = doubt(run, by="held-out")
    assert judged.images == judged.unseen < 33
    assert judged.not_judged == 33 - judged.images
    assert {each.path for each in judged.doubts} <= set(PATHS)


def test_other_data_is_judged_as_a_whole_with_a_remark(run: Run, tmp_path: Path) -> None:
    folder = colour_folder(tmp_path / "other", [("red", "green")], count=4)
    (folder / "red" / "bad.png").write_bytes(b"no image")
    judged = doubt(run, folder, by="held-out")
    assert [(each.path, each.suggested) for each in judged.doubts] == [("red/wrong0.png", "green")]
    assert judged.images == 13
    assert judged.not_judged == 1
    assert "was trained on other data" in judged.note


def test_the_only_image_of_a_class_is_not_judged(run: Run, tmp_path: Path) -> None:
    folder = colour_folder(tmp_path / "few", count=3)
    for path in sorted((folder / "blue").iterdir())[1:]:
        path.unlink()
    judged = doubt(run, folder, folds=2)
    assert (judged.images, judged.not_judged) == (6, 1)
    with pytest.raises(InputError, match="folds=1"):
        doubt(run, folder, folds=1)


def test_folds_hold_as_many_of_each_class() -> None:
    labels = np.array([0] * 10 + [1] * 5 + [2])
    folds = folds_of(labels, 5, seed=0)
    assert np.bincount(folds[:10]).tolist() == [2] * 5
    assert sorted(folds[10:15].tolist()) == [0, 1, 2, 3, 4]
    assert folds.tolist() != folds_of(labels, 5, seed=1).tolist()


def test_the_file_is_what_training_takes(doubts: Doubts, photos: Path, tmp_path: Path) -> None:
    write_corrections(tmp_path / "doubts.csv", doubts)
    corrections = read_corrections(tmp_path / "doubts.csv")
    assert dict(corrections.labels) == PATHS
    # A run on corrected data doubts it no more, and its file carries the corrections on.
    described = open_dataset(photos, val_fraction=0.2, seed=4, corrections=corrections).describe(full=True)
    second = doubt(load(colour_run(tmp_path / "run", described=described)), folds=4)
    assert not second.doubts
    write_corrections(tmp_path / "second.csv", second)
    assert dict(read_corrections(tmp_path / "second.csv").labels) == PATHS


def test_a_cross_validation_judges_what_each_run_held_out(doubts: Doubts, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folds"
    colour_run(folder / "fold-1", data=photos)
    (folder / "folds.json").write_text("{}")
    with pytest.raises(InputError, match="has not ended"):
        doubt(folder)
    pool = doubts.pool
    # In another order of images and of classes than the run's, and without the first image.
    rows, classes = np.arange(len(pool))[:0:-1], ("green", "red", "blue")
    columns = [doubts.classes.index(name) for name in classes]
    labels = np.array([classes.index(doubts.classes[label]) for label in pool.labels[rows]])
    answers = OutOfFold(
        tuple(pool.names[row] for row in rows),
        labels,
        pool.logits[rows][:, columns],
        rows % 3 + 1,
        rows,
        classes,
        pool.dataset.hash,
    )
    answers.write(folder / OUT_OF_FOLD)
    judged = doubt(folder)
    assert (judged.by, judged.images, judged.unseen, judged.not_judged) == ("folds", 32, 32, 1)
    assert {each.path: each.suggested for each in judged.doubts}.items() <= PATHS.items()
    assert len(judged.doubts) >= 2
    dataclasses.replace(answers, data_hash="other").write(folder / OUT_OF_FOLD)
    with pytest.raises(InputError, match="those of other data"):
        doubt(folder)
    with pytest.raises(InputError, match="of one run"):
        doubt(folder / "fold-1", by="folds")


def test_the_command_its_page_and_its_file(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "doubts.html"
    words = ["doubt", str(run.folder), "--out", str(page), "--folds", "4"]
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {each["path"] for each in document["doubts"]} == set(PATHS)
    html = page.read_text()
    # Each doubted image with four neighbours; those that come twice are drawn twice.
    assert html.count("data:image/png;base64,") == 5 * len(PATHS)
    assert "held out from the network that made the features" in " ".join(html.split())
    assert "<script" not in html
    rows = list(csv.DictReader((tmp_path / "doubts.csv").read_text().splitlines()))
    assert {row["path"]: row["label"] for row in rows} == PATHS
    # What somebody has decided is never written over.
    assert main(words) == 2
    assert "doubts.csv" in capsys.readouterr().err
    assert main(["doubt", str(run.folder), "--by", "held-out"]) == 0
    assert "estimated to be wrong" in capsys.readouterr().out
    assert main(["doubt", str(run.folder), "--out", str(tmp_path / "a.png")]) == 2
    assert set(COLOURS) == set(document["classes"])
