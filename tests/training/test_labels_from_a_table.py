"""A run on a table: bit for bit that of the same folders, resumed to the byte, judged by what it records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from data.pictures import picture
from residua._base.errors import InputError
from residua.cli.app import main
from residua.evaluation.compare import compare
from residua.evaluation.evaluate import evaluate
from residua.inference.predict import predict
from residua.training.folder.run_folder import read_origin
from residua.training.loop import train
from residua.training.trainer import Trainer
from residua.weights.open import load

SHORT: dict[str, Any] = {
    "recipe": "fast",
    "epochs": 2,
    "min_steps": 0,
    "batch_size": 8,
    "image_size": 16,
    "workers": 1,
    "kernels": "eager",
    "device": "cpu",
    "val_fraction": 0.25,
    "checkpoint_every_steps": 1,
    "progress": False,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PHOTOS, 32 pictures, labels.csv with groups of four, and FOLDERS, the same as class folders."""
    root = tmp_path_factory.mktemp("table")
    (root / "PHOTOS").mkdir()
    lines = ["image_id,kind,patient"]
    for number in range(32):
        kind = ("cat", "dog")[number % 2]
        picture(number).save(root / "PHOTOS" / f"{number:02}.png")
        (root / "FOLDERS" / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "PHOTOS" / f"{number:02}.png", root / "FOLDERS" / kind)
        lines.append(f"{number:02},{kind},{number // 4}")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def finished(photos: Path) -> Path:
    """The folder of a run on the table."""
    labels = photos / "labels.csv"
    columns = {"label": "kind", "group": "patient"}
    train(photos / "PHOTOS", "cifar_resnet8", out=photos / "run", labels=labels, columns=columns, **SHORT)
    return photos / "run"


def test_the_run_records_its_table(finished: Path, photos: Path) -> None:
    run = load(finished)
    assert run.classes == ("cat", "dog")
    assert run.data["table"]["file"] == "labels.csv"
    assert len(run.data["table"]["sha256"]) == 64
    assert str(photos) not in json.dumps(run.data)
    origin = read_origin(finished)
    assert origin.data["table"]["file"] == str(photos / "labels.csv")
    assert "--labels labels.csv --columns label=kind --columns group=patient" in (finished / "recipe.toml").read_text()


def test_a_table_trains_as_folders_do(photos: Path) -> None:
    one = train(photos / "FOLDERS", "cifar_resnet8", out=photos / "a", **SHORT)
    table = photos / "folders.csv"
    rows = [f"{file.relative_to(photos)},{file.parent.name}" for file in (photos / "FOLDERS").rglob("*.png")]
    table.write_text("\n".join(["path,label", *rows]))
    two = train(photos / "FOLDERS", "cifar_resnet8", out=photos / "b", labels=table, **SHORT)
    assert one.weights_sha256 == two.weights_sha256


def test_a_killed_run_goes_on_to_the_same_weights(
    finished: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Trainer.step

    def killed(self: Trainer, group: Any) -> None:
        if self.global_step == 4:
            raise KeyboardInterrupt
        step(self, group)

    arguments: dict[str, Any] = {"labels": photos / "labels.csv", "columns": "label=kind", "groups": "patient"}
    monkeypatch.setattr(Trainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(photos / "PHOTOS", "cifar_resnet8", out=photos / "killed", **arguments, **SHORT)
    monkeypatch.setattr(Trainer, "step", step)
    # The table is the run's own: it need not be named again.
    code = main(["train", str(photos / "PHOTOS"), "--out", str(photos / "killed"), "--resume", "--json"])
    assert code == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["cat", "dog"]
    assert load(photos / "killed").weights_sha256 == load(finished).weights_sha256


def test_a_table_that_changed_is_refused(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = photos / "changing.csv"
    shutil.copy(photos / "labels.csv", table)
    arguments: dict[str, Any] = {"columns": "label=kind,group=patient"}

    def killed(self: Trainer, group: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(photos / "PHOTOS", "cifar_resnet8", out=photos / "c", labels=table, **arguments, **SHORT)
    table.write_text(table.read_text().replace("03,dog", "03,cat"))
    with pytest.raises(InputError, match=r"changing\.csv has different content"):
        train(photos / "PHOTOS", out=photos / "c", resume=True, progress=False)
    columns = "label=kind"
    with pytest.raises(InputError, match="group comes from column None now"):
        train(photos / "PHOTOS", out=photos / "c", labels=table, columns=columns, resume=True, progress=False)
    origin = photos / "c/checkpoints/origin.json"
    origin.write_text(origin.read_text().replace('"labels"', '"no_labels"'))
    with pytest.raises(InputError, match="the labels come from the names of folders now"):
        train(photos / "FOLDERS", out=photos / "c", resume=True, progress=False)


def test_the_held_out_part_is_that_of_the_training(finished: Path, photos: Path) -> None:
    report = evaluate(finished)
    assert (report.split, report.count) == ("val", 8)
    assert evaluate(finished, photos / "PHOTOS").count == 8
    assert report.top1 == pytest.approx(load(finished).metrics["top1"])
    # Other data is judged as a whole, by its own table or by its folders.
    other = photos / "other.csv"
    other.write_text("path,label\n00,cat\n01,dog\n02,cat\n")
    assert evaluate(finished, photos / "PHOTOS", labels=other).count == 3
    assert evaluate(finished, photos / "FOLDERS").count == 32
    with pytest.raises(InputError, match="without data"):
        evaluate(finished, labels=other)


def test_data_that_moved_is_the_runs_own_with_its_table(finished: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "PHOTOS", tmp_path / "moved")
    shutil.copy(photos / "labels.csv", tmp_path)
    columns = "label=kind,group=patient"
    assert evaluate(finished, tmp_path / "moved", labels=tmp_path / "labels.csv", columns=columns).count == 8


def test_runs_with_other_held_out_images_are_not_compared(finished: Path, photos: Path) -> None:
    table = photos / "labels.csv"
    arguments: dict[str, Any] = {"labels": table, "columns": "label=kind,group=patient"}
    train(photos / "PHOTOS", "cifar_resnet8", out=photos / "seed1", **arguments, **SHORT | {"seed": 1})
    with pytest.raises(InputError, match="has learnt from"):
        compare([finished, photos / "seed1"])


def test_predictions_need_no_table(finished: Path, photos: Path) -> None:
    assert predict(finished, [photos / "PHOTOS" / "00.png"])[0].labels[0] in ("cat", "dog")


def test_the_command_speaks_of_rows_and_flags(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "bad.csv").write_text("image_id,kind\n00,cat\n99,dog\n")
    arguments = ["train", str(photos / "PHOTOS"), "--labels", str(photos / "bad.csv"), "--out", str(photos / "x")]
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert "row 3 (99): no file" in message
    assert "--on-bad skip" in message
    assert not (photos / "x").exists()
    assert main(["train", str(photos / "PHOTOS"), "--groups", "patient", "--out", str(photos / "x")]) == 2
    assert "--labels" in capsys.readouterr().err
    labels = ["--labels", str(photos / "labels.csv")]
    assert main(["check", str(photos / "PHOTOS"), *labels, "--columns", "label=kind"]) == 0
    assert "column patient of labels.csv keeps no images together" in capsys.readouterr().out
