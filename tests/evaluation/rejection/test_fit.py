"""Rejection from calibration to the answers: stored in the run, followed by predict, report and command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.runs import COLOURS, colour_folder, colour_run, noise
from residua._base.errors import InputError
from residua.cli.app import main
from residua.evaluation.calibrate import calibrate
from residua.evaluation.evaluate import evaluate
from residua.inference.answers.predict_to import predict_to
from residua.inference.predict import predict
from residua.specs.rejection import Rejection
from residua.weights.bundle.signed import read_signed, write_signed
from residua.weights.open import load


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colours in shades, with a validation part: 40 a class, one of them wrong, so that there is a temperature."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, count in (("train", 60), ("val", 40)):
        for name in COLOURS:
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                colour = COLOURS["blue"] if (part, name, index) == ("val", "red", 0) else COLOURS[name]
                shade = np.clip(np.array(colour) * random.uniform(0.5, 1) + random.uniform(0, 40, 3), 0, 255)
                pixels = np.clip(shade + random.normal(0, 12, (8, 8, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{index:02}.png")
    return folder


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unknown")
    for index in range(30):
        noise(8, index).save(folder / f"{index:02}.png")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    return colour_run(tmp_path / "run", data=data)


@pytest.mark.parametrize("score", ["softmax", "energy", "knn", "mahalanobis"])
def test_from_calibration_to_answers(score: Any, run: Path, data: Path, unknown: Path) -> None:
    calibrate(run, reject=0.05, score=score)
    rejection = load(run).rejection
    assert rejection is not None
    assert (rejection.score, rejection.rate, rejection.count, rejection.rejected) == (score, 0.05, 120, 6 / 120)
    answers = predict(run, data / "val", device="cpu")
    assert sum(bool(each.unknown) for each in answers) == 6, "the stored numbers decide as the fitted ones did"
    caught = [each.unknown for each in predict(run, sorted(unknown.glob("[0-9]*.png")), device="cpu")]
    # The energy of this network is its brightness.
    assert sum(map(bool, caught)) >= (0 if score == "energy" else 28)
    report = evaluate(run, split="val", unknown=unknown)
    assert report.rejection is not None
    assert report.rejection.rejected == pytest.approx(0.05)
    assert report.unknown is not None
    assert (report.unknown.count, report.unknown.skipped) == (30, 1)
    assert report.unknown.rejected == pytest.approx(sum(map(bool, caught)) / 30)
    assert {each.score for each in report.unknown.detections} == {"softmax", "energy", "knn", "mahalanobis"}
    assert report.unknown.detections[0].auroc > 0.95
    html = report.to_html()
    assert "“unknown”" in html
    assert f">{report.unknown.detections[0].score}</th>" in html
    document = json.loads(report.to_json())
    assert document["rejection"]["score"] == score
    assert document["unknown"]["detections"][0]["auroc"] == report.unknown.detections[0].auroc


def test_the_rejection_outlives_another_calibration(run: Path) -> None:
    calibrate(run, reject=0.1)
    before = load(run).rejection
    calibrate(run)
    assert load(run).rejection == before


def test_features_need_eager(run: Path, data: Path) -> None:
    calibrate(run, reject=0.05, score="knn")
    with pytest.raises(InputError, match="score='knn'"):
        predict(run, data / "val", engine="compiled")
    with pytest.raises(InputError, match="score='knn'"):
        predict(run, data / "val", precision="bf16", device="cpu")


def test_files_of_answers_have_a_column(run: Path, data: Path, unknown: Path, tmp_path: Path) -> None:
    photo = unknown / "00.png"
    before = predict_to(run, photo, tmp_path / "a.csv", device="cpu")
    assert before.path.read_text().splitlines()[0].endswith(",probability3,error")
    calibrate(run, reject=0.05, score="softmax")
    after = predict_to(run, photo, tmp_path / "b.csv", top=1, device="cpu")
    header, row = after.path.read_text().splitlines()
    assert header.split(",") == ["path", "label", "probability", "unknown", "error"]
    assert row.split(",")[3] == "true"
    lines = predict_to(run, photo, tmp_path / "b.jsonl", device="cpu").path.read_text()
    assert json.loads(lines)["unknown"] is True


def test_the_command(run: Path, data: Path, unknown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(run), "--split", "val"]
    assert main([*words, "--reject", "0.05"]) == 2
    assert "--calibrate" in capsys.readouterr().err
    assert main([*words, "--calibrate", "--reject", "0.05", "--score", "softmax", "--unknown", str(unknown)]) == 0
    out, err = capsys.readouterr()
    assert "Unknown above softmax" in err
    assert "unknown (softmax above" in out
    assert "30 images of no class" in out
    assert "mahalanobis  AUROC" in out
    assert main(["predict", str(run), str(unknown / "00.png")]) == 0
    assert "unknown  (rather " in capsys.readouterr().out
    for wrong in (["--calibrate", "--reject", "0.001"], ["--calibrate", "--reject", "2"], ["--unknown", "nowhere"]):
        assert main([*words, *wrong]) == 2


def test_a_bundle_is_not_believed(run: Path) -> None:
    calibrate(run, reject=0.05, score="knn")
    path = run / "model.safetensors"
    document, tensors = read_signed(path)
    whole = document["calibration"]["rejection"]
    array = whole["arrays"]["references"]
    for change in (
        {"threshold": float("1e300")},
        {"threshold": "1"},
        {"score": "taste"},
        {"rate": 0},
        {"score": "energy"},
        {"arrays": {}},
        {"arrays": {"references": array | {"shape": [1, 1]}}},
        {"arrays": {"references": array | {"shape": [2**20, 2**20]}}},
        {"arrays": {"references": array | {"data": "?"}}},
        {"arrays": {"references": 3}},
        {"more": 1},
    ):
        write_signed(path, tensors, document | {"calibration": document["calibration"] | {"rejection": whole | change}})
        with pytest.raises(InputError, match="is calibrated with"):
            load(run)
    # Rows that are too few, and numbers that are none, are found where they are used.
    infinite = Rejection.from_json(whole).arrays["references"]
    assert infinite.shape == (180, 3)


def test_a_run_with_pixel_arrays_can_be_calibrated(tmp_path: Path, data: Path) -> None:
    """The hash of the weights does not cover the arrays of the preprocessing."""
    from residua.specs.pixel_array import PixelArray
    from residua.specs.preprocess import PreprocessSpec

    image = PixelArray((8, 8, 3), np.zeros((8, 8, 3), np.float32).tobytes())
    preprocess = PreprocessSpec(8, 8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), mean_image=image)
    run = colour_run(tmp_path / "run", data=data, preprocess=preprocess)
    calibrate(run, reject=0.05)
    assert load(run).rejection is not None


def test_other_data_has_no_training_part(run: Path, tmp_path: Path, unknown: Path) -> None:
    report = evaluate(run, colour_folder(tmp_path / "other"), unknown=unknown)
    assert report.unknown is not None
    assert {each.score for each in report.unknown.detections} == {"softmax", "energy"}


def test_rejection_needs_no_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where every validation answer is right no temperature fits: it stays 1, openly, and rejection is calibrated."""
    photos = colour_folder(tmp_path / "photos")
    run = colour_run(tmp_path / "run", data=photos)
    with pytest.raises(InputError, match="all classified correctly"):
        calibrate(run)
    assert main(["evaluate", str(run), "--calibrate", "--reject", "0.2"]) == 0
    assert "All answers to the 6 validation images are right" in capsys.readouterr().err
    calibrated = load(run)
    assert calibrated.temperature == 1.0
    assert calibrated.calibration is not None
    assert calibrated.calibration["fitted"] is False
    assert calibrated.rejection is not None
