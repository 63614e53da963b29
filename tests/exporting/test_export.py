"""Exports: run from their files, beside eager, and whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import residua
from exporting.runs import PREPROCESS, digits_run
from residua._base.errors import InputError
from residua.exporting import trial
from residua.exporting.export import GateFailed, export
from residua.exporting.formats import open_graph
from residua.exporting.graph_input import GraphForm
from residua.exporting.names import BATCHES, CERTIFICATE, FILES, GOLDEN, PAGE
from residua.exporting.reading.stored import read_certificate
from residua.exporting.recheck import check_export
from residua.specs.pixel_array import PixelArray
from residua.specs.preprocess import PreprocessSpec

CALIBRATION = {"temperature": 1.25, "thresholds": {"0.9": 0.5, "0.99": None}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> residua.Run:
    folder = digits_run(tmp_path_factory.mktemp("export") / "run", calibration=CALIBRATION)
    return residua.load(folder)


@pytest.mark.parametrize("with_preprocessing", [False, True])
@pytest.mark.parametrize("format_", [name for name in FILES if name != "web"])
def test_an_export_gives_the_answers_of_its_run(
    format_: str, with_preprocessing: bool, run: residua.Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    written = export(run, format=format_, out=out, with_preprocessing=with_preprocessing)
    assert written.folder == out
    assert {path.name for path in out.iterdir()} == {*FILES[format_], GOLDEN, CERTIFICATE, PAGE}
    certificate = written.certificate
    assert certificate.verdict.answer == "passes"
    assert [row.batches for row in certificate.rows] == [*((size,) for size in BATCHES), BATCHES]
    assert [row.count for row in certificate.rows] == [32, 32, 32, 32, 143]
    assert all(row.agreement == 1 and row.error is not None and row.error < 1e-5 for row in certificate.rows)
    part = certificate.rows[-1]
    assert part.images == "val of digits"
    assert part.top1 == residua.evaluate(run, split="val", cache=False, device="cpu").top1
    assert part.top1 > 0.5
    assert part.interval is not None
    assert part.interval[0] < 0 < part.interval[1]

    answers, metadata = open_graph(format_, out, "fp32")  # type: ignore[arg-type]
    pixels = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), np.uint8)
    form = GraphForm.of(run, with_preprocessing=with_preprocessing)
    with torch.inference_mode():
        logits = run.model(torch.stack([run.preprocess(image) for image in pixels]))
    if with_preprocessing:
        outputs = answers(torch.from_numpy(pixels))
        torch.testing.assert_close(outputs, (logits / 1.25).softmax(1), rtol=1e-4, atol=1e-5)
    else:
        torch.testing.assert_close(answers(form.fed(pixels)), logits, rtol=1e-4, atol=1e-4)
    assert tuple(json.loads(metadata["classes"])) == run.classes
    assert PreprocessSpec.from_json(json.loads(metadata["preprocess"])) == PREPROCESS
    assert float(metadata["temperature"]) == 1.25
    assert json.loads(metadata["thresholds"]) == CALIBRATION["thresholds"]
    assert metadata["run"] == run.weights_sha256
    assert metadata["output"] == ("probabilities" if with_preprocessing else "logits")


MEAN = np.linspace(0.1, 0.6, 16 * 16 * 3, dtype="<f4").tobytes()
WHITENING = (0.5 * np.eye(768, dtype="<f4") + np.float32(0.001)).tobytes()


@pytest.mark.parametrize(
    "fields",
    [
        {"image_center": True},
        {"image_std": True},
        {"mean_image": PixelArray((16, 16, 3), MEAN), "whitening": PixelArray((768, 768), WHITENING)},
    ],
)
def test_every_kind_of_preprocessing_goes_inside(fields: dict[str, Any], tmp_path: Path) -> None:
    changed = PreprocessSpec(16, 16, std=(0.5, 0.4, 0.3), **fields)
    run = residua.load(digits_run(tmp_path / "run", preprocess=changed))
    written = export(run, format="openvino", out=tmp_path / "out", with_preprocessing=True, golden_only=True)
    assert written.certificate.verdict.answer == "passes"
    assert "resize and crop stay outside" in " ".join(written.certificate.conversion)
    assert check_export(written.folder).verdict.answer == "passes"


def test_the_certificate_states_what_was_exported_and_where(run: residua.Run, tmp_path: Path) -> None:
    export(run, format="onnx", out=tmp_path / "out")
    stored = json.loads((tmp_path / "out" / CERTIFICATE).read_text())
    assert read_certificate(tmp_path / "out") == stored
    assert stored["run"]["weights_sha256"] == run.weights_sha256
    assert set(stored["files"]) == {"model.onnx", GOLDEN, PAGE}
    assert stored["verdict"]["answer"] == "passes"
    assert {"residua", "torch", "onnx", "onnxruntime", "processor"} <= set(stored["environment"])
    page = (tmp_path / "out" / PAGE).read_text()
    assert stored["files"]["model.onnx"]["sha256"] in page
    assert "val of digits" in page
    assert "100.00%" in page
    assert str(tmp_path) not in page + json.dumps(stored)


def test_without_images_golden_ones_remain_and_the_certificate_states_it(run: residua.Run, tmp_path: Path) -> None:
    written = export(run, format="torch", out=tmp_path / "out", golden_only=True)
    assert [row.images for row in written.certificate.rows] == ["golden"] * 4
    assert "accuracy was not measured" in written.certificate.notes[0]


def test_an_export_that_fails_leaves_nothing(run: residua.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = trial.open_graph

    def wrong(*arguments: object) -> object:
        answers, metadata = original(*arguments)  # type: ignore[arg-type]
        return lambda images: answers(images).roll(1, 1), metadata

    monkeypatch.setattr(trial, "open_graph", wrong)
    with pytest.raises(GateFailed, match=r"golden in batches of 1: .* answers differ") as caught:
        export(run, format="torch", out=tmp_path / "out")
    assert caught.value.exit_code == 1
    assert caught.value.certificate.rows[-1].agreement < 0.5
    assert list(tmp_path.iterdir()) == []


def test_a_slightly_wrong_export_fails_by_its_error(
    run: residua.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = trial.open_graph

    def wrong(*arguments: object) -> object:
        answers, metadata = original(*arguments)  # type: ignore[arg-type]
        return lambda images: answers(images) * 1.001, metadata

    monkeypatch.setattr(trial, "open_graph", wrong)
    with pytest.raises(GateFailed, match=r"an output differs by 1.0e-03 of the largest, at most 1e-04 may"):
        export(run, format="torch", out=tmp_path / "out", golden_only=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_no_number_fails(
    value: float, run: residua.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = trial.open_graph

    def wrong(*arguments: object) -> object:
        answers, metadata = original(*arguments)  # type: ignore[arg-type]
        return lambda images: torch.full_like(answers(images), value), metadata

    monkeypatch.setattr(trial, "open_graph", wrong)
    with pytest.raises(GateFailed, match="NaN or infinite"):
        export(run, format="torch", out=tmp_path / "out", golden_only=True)


def test_wrong_input_is_refused_before_any_work(run: residua.Run, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "a.txt").write_text("mine")
    for arguments, words in (
        ({"format": "onx"}, "format='onx'.*Did you mean onnx"),
        ({"format": "onnx", "precision": "fp16"}, "precision='fp16'"),
        ({"format": "onnx", "out": full}, "which holds a.txt"),
        ({"format": "onnx", "out": full / "a.txt"}, "which is a file"),
        ({"format": "onnx", "out": 5}, "out 5"),
        ({"format": "onnx", "runtime": full}, "runtime=.*with format='onnx'"),
        ({"format": "onnx", "data": tmp_path / "nowhere"}, "nowhere"),
    ):
        with pytest.raises(InputError, match=words):
            export(run, **{"out": tmp_path / "out", **arguments})  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert (full / "a.txt").read_text() == "mine"
