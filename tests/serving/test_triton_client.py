"""NVIDIA's own client against our server: JSON, binary, classes, compression; errors are its own exception."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua.inference.predict import predict
from residua.weights.open import load
from serving.running import Running

triton = pytest.importorskip("tritonclient.http", reason="no tritonclient: pip install 'residua[peers]'")


@pytest.fixture
def client(server: Running) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as opened:
        yield opened


def _image(paths: list[Path], binary: bool) -> Any:
    contents = [path.read_bytes() for path in paths]
    entry = triton.InferInput("image", [len(paths)], "BYTES")
    values = contents if binary else [base64.b64encode(each) for each in contents]
    entry.set_data_from_numpy(np.array(values, object), binary_data=binary)
    return entry


def _tensor(values: np.ndarray, binary: bool) -> Any:
    entry = triton.InferInput("tensor", list(values.shape), "FP32")
    entry.set_data_from_numpy(values, binary_data=binary)
    return entry


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("a")
    assert client.is_model_ready("a", "1")
    assert not client.is_model_ready("none")
    assert client.get_server_metadata()["name"] == "residua"
    assert client.get_model_metadata("a")["versions"] == ["1"]
    assert client.get_model_config("a")["max_batch_size"] == 16
    assert client.get_inference_statistics("a")["model_stats"][0]["name"] == "a"
    assert client.get_inference_statistics()["model_stats"]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_images(client: Any, run_folder: Path, images: dict[str, Path], binary: bool, compression: str | None) -> None:
    files = [images["noise"], images["green"]]
    result = client.infer(
        "a",
        [_image(files, binary)],
        outputs=[triton.InferRequestedOutput("probabilities", binary_data=binary)],
        request_id="42",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    wanted = predict(run_folder, files, top=1, batch_size=2)
    probabilities = result.as_numpy("probabilities")
    assert probabilities.dtype == np.float32
    assert probabilities.max(1).tolist() == [np.float32(each.probabilities[0]) for each in wanted]
    assert result.get_response()["id"] == "42"


@pytest.mark.parametrize("binary", [True, False])
def test_tensors(client: Any, run_folder: Path, images: dict[str, Path], binary: bool) -> None:
    run = load(run_folder)
    values = run.preprocess(images["noise"])[None].numpy()
    result = client.infer("a", [_tensor(values, binary)])
    (wanted,) = predict(run_folder, [images["noise"]], top=3)
    best = int(result.as_numpy("logits").argmax())
    assert run.classes[best] == wanted.labels[0]
    np.testing.assert_allclose(result.as_numpy("probabilities")[0, best], wanted.probabilities[0], rtol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_classes(client: Any, images: dict[str, Path], binary: bool) -> None:
    outputs = [triton.InferRequestedOutput("logits", binary_data=binary, class_count=2)]
    result = client.infer("a", [_image([images["blue"]], True)], outputs=outputs).as_numpy("logits")
    assert result.shape == (1, 2)
    value, index, label = (result[0, 0].decode() if binary else str(result[0, 0])).split(":")
    assert (index, label) == ("2", "blue")
    assert float(value) == pytest.approx(4, abs=0.1)


def test_errors_are_its_own_exception(client: Any, images: dict[str, Path]) -> None:
    values = np.zeros((1, 3, 4, 4), np.float32)
    good = _image([images["red"]], True)
    calls = [
        (lambda: client.infer("none", [good]), "no model 'none'", "404"),
        (lambda: client.infer("a", [_tensor(values, True)]), "has shape", "400"),
        (lambda: client.infer("a", [good], outputs=[triton.InferRequestedOutput("x")]), "no output 'x'", "400"),
        (lambda: client.infer("a", [good], model_version="9"), "no version '9'", "404"),
        (lambda: client.get_model_metadata("none"), "no model", "404"),
        (lambda: client.load_model("none"), "no model 'none'", "404"),
        (lambda: client.load_model("a", config="{}"), "refused", "400"),
    ]
    for call, words, status in calls:
        with pytest.raises(_own()) as caught:
            call()
        assert words in caught.value.message()
        assert caught.value.status() == status


def _own() -> type[Exception]:
    from tritonclient.utils import InferenceServerException

    return InferenceServerException


def test_the_repository(client: Any) -> None:
    assert {"name": "a", "version": "1", "state": "READY", "reason": ""} in client.get_model_repository_index()
    client.load_model("a")
    assert client.is_model_ready("a")


def test_a_timeout_of_microseconds(client: Any, images: dict[str, Path]) -> None:
    assert client.infer("a", [_image([images["red"]], True)], timeout=10_000_000).as_numpy("logits").shape == (1, 3)
    with pytest.raises(_own()) as caught:
        client.infer("a", [_image([images["noise"]] * 200, True)], timeout=1)
    assert caught.value.status() in ("503", "504")
