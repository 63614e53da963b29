"""Inference by the protocol: JSON, binary, raw bodies, compression, versions; the same answers as `predict`."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from residua.inference.predict import predict
from residua.weights.open import load
from serving.running import Running, image_input, tensor_input

RAW = {"Inference-Header-Content-Length": "0"}


def _text(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _floats(answer: dict, name: str) -> np.ndarray:
    (output,) = [each for each in answer["outputs"] if each["name"] == name]
    return np.array(output["data"], np.float32).reshape(output["shape"])


@pytest.mark.parametrize("name", ["red", "noise"])
def test_answers_are_those_of_predict(server: Running, run_folder: Path, images: dict[str, Path], name: str) -> None:
    (wanted,) = predict(run_folder, [images[name]], top=3, batch_size=1)
    classes = load(run_folder).classes
    expected = [wanted.probabilities[wanted.labels.index(label)] for label in classes]
    answer = server.infer(image_input(_text(images[name]))).json()
    assert _floats(answer, "probabilities")[0].tolist() == np.float32(expected).tolist(), "bit for bit"
    people = server.http.post("/predict?top=3", content=images[name].read_bytes()).json()["images"][0]
    assert people["labels"] == list(wanted.labels)
    assert people["probabilities"] == list(wanted.probabilities), "bit for bit, in double precision"


def test_a_batch_is_that_of_predict(server: Running, run_folder: Path, images: dict[str, Path]) -> None:
    files = [images[name] for name in ("blue", "noise", "green")]
    wanted = predict(run_folder, files, top=1, batch_size=3)
    answer = server.infer(image_input(*map(_text, files))).json()
    assert _floats(answer, "probabilities").max(1).tolist() == [np.float32(each.probabilities[0]) for each in wanted]


def test_a_raw_body_is_one_image(server: Running, images: dict[str, Path]) -> None:
    answer = server.infer(content=images["blue"].read_bytes(), headers=RAW).json()
    assert (answer["model_name"], answer["model_version"]) == ("a", "1")
    assert _floats(answer, "logits").argmax() == 2
    assert "id" not in answer


def test_prepared_images_give_the_same_logits(server: Running, run_folder: Path, images: dict[str, Path]) -> None:
    run = load(run_folder)
    values = run.preprocess(images["noise"])[None].numpy()
    with torch.no_grad():
        wanted = run.model(torch.from_numpy(values)).numpy()
    flat = server.infer(tensor_input(values)).json()
    np.testing.assert_allclose(_floats(flat, "logits"), wanted, rtol=1e-5)
    nested = server.infer(tensor_input(values, data=values.tolist())).json()
    assert nested == flat
    for datatype, kind in (("FP32", "<f4"), ("FP64", "<f8"), ("FP16", "<f2")):
        content = values.astype(kind).tobytes()
        entry = {"name": "tensor", "shape": list(values.shape), "datatype": datatype}
        entry["parameters"] = {"binary_data_size": len(content)}
        head = json.dumps({"inputs": [entry]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        answer = server.infer(content=head + content, headers=headers).json()
        np.testing.assert_allclose(_floats(answer, "logits"), wanted, rtol=1e-5 if datatype != "FP16" else 1e-2)


def test_outputs_ids_and_classes(server: Running, images: dict[str, Path]) -> None:
    outputs = [
        {"name": "probabilities", "parameters": {"classification": 2}},
        {"name": "logits", "parameters": {"binary_data": True}},
    ]
    document = image_input(_text(images["green"]), _text(images["red"])) | {"id": "x7", "outputs": outputs}
    response = server.infer(document)
    length = int(response.headers["Inference-Header-Content-Length"])
    assert response.headers["content-type"] == "application/octet-stream"
    answer = json.loads(response.content[:length])
    assert answer["id"] == "x7"
    first, second = answer["outputs"]
    assert (first["datatype"], first["shape"]) == ("BYTES", [2, 2])
    values = [text.split(":", 2) for text in first["data"]]
    assert [(index, label) for _, index, label in values[::2]] == [("1", "green"), ("0", "red")]
    assert float(values[0][0]) == pytest.approx(0.787, abs=1e-3)
    assert second["parameters"]["binary_data_size"] == 24
    logits = np.frombuffer(response.content[length:], "<f4").reshape(2, 3)
    assert logits.argmax(1).tolist() == [1, 0]


def test_the_most_classes_are_those_there_are(server: Running, images: dict[str, Path]) -> None:
    outputs = [{"name": "logits", "parameters": {"classification": 99}}]
    answer = server.infer(image_input(_text(images["red"])) | {"outputs": outputs}).json()
    assert answer["outputs"][0]["shape"] == [1, 3]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compression_both_ways(server: Running, images: dict[str, Path], encoding: str) -> None:
    document = image_input(*[_text(images["red"])] * 20)
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    headers = {"Content-Encoding": encoding, "Accept-Encoding": encoding}
    response = server.infer(content=pack(json.dumps(document).encode()), headers=headers)
    assert response.headers["content-encoding"] == encoding
    assert _floats(response.json(), "logits").argmax(1).tolist() == [0] * 20
    small = server.http.get("/v2", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers


def test_a_version_of_the_address(server: Running, images: dict[str, Path]) -> None:
    content = images["red"].read_bytes()
    assert server.http.post("/v2/models/a/versions/1/infer", content=content, headers=RAW).status_code == 200
    missing = server.http.post("/v2/models/a/versions/2/infer", content=content, headers=RAW)
    assert (missing.status_code, missing.json()) == (404, {"error": "model 'a' has no version '2'"})


def test_more_images_than_a_batch(server: Running, images: dict[str, Path]) -> None:
    names = ["red", "green", "blue"] * 14
    answer = server.infer(image_input(*[_text(images[name]) for name in names])).json()
    assert _floats(answer, "logits").argmax(1).tolist() == [0, 1, 2] * 14
    stats = server.http.get("/v2/models/a/stats").json()["model_stats"][0]
    assert max(each["batch_size"] for each in stats["batch_stats"]) == 16
    assert stats["inference_count"] >= 42


def test_a_short_timeout_is_a_deadline(server: Running, images: dict[str, Path]) -> None:
    document = image_input(*[_text(images["noise"])] * 200) | {"parameters": {"timeout": 1}}
    response = server.infer(document)
    assert response.status_code in (503, 504)
    assert "error" in response.json()
    assert server.infer(image_input(_text(images["red"]))).status_code == 200
