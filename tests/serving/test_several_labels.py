"""A run of several labels behind HTTP: labels over their thresholds, the probabilities of all, never a softmax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chromium import chromium, chromium_path
from residua.exporting.export import export
from residua.inference.predict import predict
from residua.serving.networks.network import Description
from residua.weights.open import load
from serving.running import running


@pytest.mark.parametrize("source", ["run", "export"])
def test_answers_are_those_of_predict(source: str, labels_run: Path, digit_pairs: Path, tmp_path: Path) -> None:
    served = labels_run
    if source == "export":
        pytest.importorskip("onnxruntime")
        served = export(labels_run, format="onnx", out=tmp_path / "e", golden_only=True).folder
    image = digit_pairs / "PHOTOS" / "test001.png"
    (expected,) = predict(labels_run, image)
    with running({"a": {"1": served}}) as server:
        entry = server.http.post("/predict?top=1", content=image.read_bytes()).json()["images"][0]
        about = server.http.get("/about").json()["models"][0]
        tensor = load(labels_run).preprocess(image).numpy()[None]
        body = {"name": "tensor", "datatype": "FP32", "shape": list(tensor.shape), "data": tensor.ravel().tolist()}
        infer = server.infer({"inputs": [body], "outputs": [{"name": "probabilities"}]}).json()["outputs"][0]
        ranked = {"name": "probabilities", "parameters": {"classification": 3}}
        classified = server.infer({"inputs": [body], "outputs": [ranked]}).json()["outputs"][0]["data"]
        page = server.http.get("/page.js").text
        schema = server.http.get("/openapi.json").json()["components"]["schemas"]["Prediction"]
    assert entry["labels"] == list(expected.labels)
    np.testing.assert_allclose(entry["probabilities"], expected.probabilities, atol=1e-5)
    assert list(entry["all_probabilities"]) == list(expected.all_probabilities)
    every = list(expected.all_probabilities.values())
    np.testing.assert_allclose(list(entry["all_probabilities"].values()), every, atol=1e-5)
    assert (entry["unknown"], entry["threshold"]) == (None, None)
    assert about["label_thresholds"] == dict(
        zip(expected.all_probabilities, load(labels_run).multilabel.thresholds, strict=True)
    )
    np.testing.assert_allclose(infer["data"], every, atol=1e-5)
    assert abs(sum(infer["data"]) - 1) > 0.01
    best = max(expected.all_probabilities, key=expected.all_probabilities.__getitem__)
    assert classified[0].endswith(f":{best}")
    assert "all_probabilities" in page
    assert "all_probabilities" in schema["properties"]["images"]["items"]["properties"]


def test_a_description_crosses_processes(labels_run: Path) -> None:
    from residua.serving.networks.run_network import describe_run

    stated = describe_run(load(labels_run), "eager", "fp32")
    assert Description.from_json(stated.to_json()) == stated
    older = stated.to_json()
    del older["label_thresholds"]
    assert Description.from_json(older).label_thresholds is None


def test_the_page_shows_labels_and_the_most_probable_of_all(
    labels_run: Path, digit_pairs: Path, tmp_path: Path
) -> None:
    chromium_path()
    images = [digit_pairs / "PHOTOS" / f"test{number:03}.png" for number in (0, 1)]
    expected = predict(labels_run, images)
    with running({"a": {"1": labels_run}}) as server, chromium(tmp_path / "profile") as tab:
        tab.open(f"http://127.0.0.1:{server.port}/", 1280)
        tab.wait("document.querySelector('#about b')")
        assert "decides for each of 10 labels" in tab.run("document.querySelector('#about').textContent")
        tab.choose("#files", *images)
        tab.wait("document.querySelector('#status').textContent.startsWith('2 of 2')")
        verdicts = tab.run("[...document.querySelectorAll('.verdict')].map((each) => each.textContent)")
        first = tab.run("document.querySelectorAll('.ranks')[1].querySelector('span').textContent")
        saved = tab.run("csv()").splitlines()
    assert verdicts == [", ".join(each.labels) or "No label" for each in expected]
    every = expected[1].all_probabilities
    assert first == max(every, key=every.__getitem__)
    assert saved[0] == "path,labels," + ",".join(f"p({name})" for name in every) + ",error"
    assert saved[2].split(",")[1] == ";".join(expected[1].labels)
