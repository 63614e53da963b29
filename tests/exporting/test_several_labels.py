"""Exports of a run of several labels: sigmoids inside, thresholds beside, and a gate that counts each label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from chromium import chromium, chromium_path
from exporting.web.hosting import hosted, runtime_folder
from residua._base.errors import Damaged, InputError
from residua.exporting.export import Export, export
from residua.exporting.formats import open_graph
from residua.exporting.gate import judge
from residua.exporting.graph_input import GraphForm
from residua.exporting.proof import LabelProofRow, Proof
from residua.exporting.recheck import check_export
from residua.inference.predict import predict
from residua.inference.stream import prepared
from residua.weights.open import load


@pytest.fixture(scope="module")
def with_pixels(labels_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """An export that takes pixels, for ONNX Runtime."""
    pytest.importorskip("onnxruntime")
    out = tmp_path_factory.mktemp("exports") / "pixels"
    return export(labels_run, format="onnx", with_preprocessing=True, out=out)


def test_the_graph_gives_the_probabilities_of_predict(with_pixels: Export, labels_run: Path, digit_pairs: Path) -> None:
    answers, metadata = open_graph("onnx", with_pixels.folder, "fp32")
    run, images = load(labels_run), sorted((digit_pairs / "PHOTOS").glob("test00*.png"))
    pixels = np.stack([prepared(image, run.preprocess_spec) for image in images])
    outputs = answers(torch.from_numpy(pixels)).numpy()
    expected = [list(each.all_probabilities.values()) for each in predict(run, images)]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert json.loads(metadata["label_thresholds"]) == list(run.multilabel.thresholds)
    assert metadata["output"] == "probabilities"


def test_the_certificate_counts_each_label(with_pixels: Export, labels_run: Path) -> None:
    certificate = with_pixels.certificate
    row = certificate.rows[-1]
    assert isinstance(row, LabelProofRow)
    assert (row.answers, row.agreement, row.top1) == (row.count * 10, 1.0, None)
    assert row.mean_average_precision == pytest.approx(row.eager_mean_average_precision, abs=1e-6)
    assert "one per image and label" in certificate.verdict.sentence
    page = (with_pixels.folder / "certificate.html").read_text()
    assert "eager mAP" in page
    assert "top-1" not in page
    document = json.loads((with_pixels.folder / "certificate.json").read_text())
    assert document["schema"] == 2
    again = check_export(with_pixels.folder, labels_run)
    assert again.verdict.answer == "passes"
    assert check_export(with_pixels.folder).verdict.answer == "passes"


def test_thresholds_cannot_be_taken_out(with_pixels: Export, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(with_pixels.folder, tmp_path / "e")
    path = tmp_path / "e" / "certificate.json"
    document = json.loads(path.read_text())
    del document["run"]["label_thresholds"]
    path.write_text(json.dumps(document))
    with pytest.raises(Damaged, match="altered"):
        check_export(tmp_path / "e")


@pytest.mark.parametrize(("flipped", "answer"), [(0, "passes"), (1, "fails")])
def test_one_label_that_differs_fails_the_gate(flipped: int, answer: str, labels_run: Path) -> None:
    form = GraphForm.of(load(labels_run), with_preprocessing=True)
    outputs = torch.full((4, 10), 0.99)
    other = outputs.clone()
    other[0, :flipped] = 0.0
    agreement = (form.answers(outputs) == form.answers(other)).double().mean().item()
    row = LabelProofRow("val", (1,), 4, agreement, 0.0, labels=10)
    verdict = judge(Proof((row,), None), "fp32")
    assert verdict.answer == answer
    assert flipped == 0 or "1 of 40 answers differ" in verdict.sentence
    broken = torch.full((4, 10), float("nan"))
    assert not (form.answers(broken) == form.answers(outputs)).any()


def test_logits_and_probabilities_decide_alike(labels_run: Path) -> None:
    run = load(labels_run)
    logits = torch.randn(50, 10)
    plain, whole = (GraphForm.of(run, with_preprocessing=each) for each in (False, True))
    assert torch.equal(plain.answers(plain.expected(logits)), whole.answers(whole.expected(logits)))


def test_int8_is_refused(labels_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="judged by the loss of top-1"):
        export(labels_run, format="onnx", precision="int8", out=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_the_page_in_the_browser_answers_as_predict(labels_run: Path, digit_pairs: Path, tmp_path: Path) -> None:
    chromium_path()
    folder = export(labels_run, format="web", runtime=runtime_folder(), golden_only=True, out=tmp_path / "web").folder
    image = digit_pairs / "PHOTOS" / "test001.png"
    (expected,) = predict(labels_run, image)
    with hosted(folder) as address, chromium(tmp_path / "profile") as tab:
        tab.open(address, 1280)
        tab.wait("document.querySelector('#about b')")
        tab.choose("#files", image)
        tab.wait("document.querySelector('#status').textContent.startsWith('1 of 1')")
        verdict = tab.run("document.querySelector('.verdict').textContent")
        shares = tab.run("saved[0][1].all_probabilities")
    assert verdict == (", ".join(expected.labels) or "No label")
    for name, share in expected.all_probabilities.items():
        assert shares[name] == pytest.approx(share, abs=1e-4)
