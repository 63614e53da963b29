"""Requests that are wrong: each is refused with a reason in JSON, and the server answers the next."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.running import Running, image_input, tensor_input

ONE = np.zeros((1, 3, 8, 8), np.float32)
TENSOR = tensor_input(ONE)["inputs"][0]


def _binary(size: Any, shape: Any = (1, 3, 8, 8), datatype: str = "FP32", name: str = "tensor") -> bytes:
    parameters = {"binary_data_size": size}
    entry = {"name": name, "shape": list(shape), "datatype": datatype, "parameters": parameters}
    return json.dumps({"inputs": [entry]}).encode()


def _refused(server: Running, words: str, status: int = 400, **options: Any) -> None:
    response = server.infer(**options)
    assert response.status_code == status, response.text
    assert words in response.json()["error"], response.text
    assert list(response.json()) == ["error"]
    assert server.http.get("/v2/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"shape": [1, 3, 8, -8]}, "whole number from 1 on"),
        ({"shape": [0, 3, 8, 8]}, "whole number from 1 on"),
        ({"shape": [2**40, 3, 8, 8]}, "whole number from 1 on"),
        ({"shape": [10**30, 3, 8, 8]}, "whole number from 1 on"),
        ({"shape": [1.0, 3, 8, 8]}, "whole number from 1 on"),
        ({"shape": [True, 3, 8, 8]}, "whole number from 1 on"),
        ({"shape": "1,3,8,8"}, "a list of"),
        ({"shape": []}, "a list of"),
        ({"shape": [1] * 99}, "a list of"),
        ({"shape": None}, "a list of"),
        ({"shape": [1, 3, 9, 8]}, "wanted [-1, 3, 8, 8]"),
        ({"shape": [192]}, "wanted [-1, 3, 8, 8]"),
        ({"shape": [2, 3, 8, 8]}, "wanted [2, 3, 8, 8], or flat"),
        ({"datatype": "INT8"}, "FP32 is wanted"),
        ({"datatype": "BANANA"}, "datatype 'BANANA'"),
        ({"datatype": "FP16"}, "no form in JSON"),
        ({"datatype": 7}, "datatype '7'"),
        ({"name": "pixels"}, "no input 'pixels'"),
        ({"name": 7}, "needs a name"),
        ({"data": [1, 2, 3]}, "has shape [3]"),
        ({"data": "1"}, "lists of numbers"),
        ({"data": [[1, 2], [3]]}, "lists of numbers"),
        ({"data": ["a"] * 192}, "lists of numbers"),
        ({"data": [1.5] * 191 + [True]}, "lists of numbers"),
        ({"data": [[1.5] * 95 + [False], [1] * 96]}, "lists of numbers"),
        ({"data": {"a": 1}}, "lists of numbers"),
        ({"data": [None] * 192}, "lists of numbers"),
        ({"data": [10**400] * 192}, "lists of numbers"),
        ({"data": [1e300] * 192}, "NaN, infinity"),
        ({"parameters": []}, "parameters of tensor"),
        ({"parameters": {"binary_data_size": 4}}, "either data or"),
        ({"parameters": {"shared_memory_region": "x", "shared_memory_byte_size": 768}}, "shares no memory"),
        ({"data": [3e38] * 192}, "NaN or infinity for these values"),
    ],
)
def test_a_wrong_tensor(server: Running, edits: dict[str, Any], words: str) -> None:
    _refused(server, words, document=tensor_input(ONE, **edits))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "not an object"),
        ({}, "inputs: a list of objects"),
        ({"inputs": []}, "inputs: a list of objects"),
        ({"inputs": [7]}, "inputs: a list of objects"),
        ({"inputs": [TENSOR, TENSOR]}, "a name stands twice"),
        ({"inputs": [TENSOR, {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["aGk="]}]}, "not both"),
        ({"inputs": [TENSOR], "outputs": [{"name": "scores"}]}, "no output 'scores'"),
        ({"inputs": [TENSOR], "outputs": [{"name": "logits"}] * 2}, "a name stands twice"),
        ({"inputs": [TENSOR], "outputs": {"name": "logits"}}, "outputs: a list of objects"),
        ({"inputs": [TENSOR], "outputs": [{"name": "logits", "parameters": {"classification": 0}}]}, "classification"),
        ({"inputs": [TENSOR], "outputs": [{"name": "logits", "parameters": {"classification": "2"}}]}, "whole number"),
        ({"inputs": [TENSOR], "outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]}, "true or false"),
        ({"inputs": [TENSOR], "outputs": [{"name": "logits", "parameters": {"shared_memory_region": "x"}}]}, "memory"),
        ({"inputs": [TENSOR], "parameters": {"timeout": -1}}, "timeout"),
        ({"inputs": [TENSOR], "parameters": {"timeout": "soon"}}, "timeout"),
        ({"inputs": [TENSOR], "parameters": {"nested": {}}}, "texts, numbers and booleans"),
        ({"inputs": [TENSOR], "id": 7}, "id: a text"),
        ({"inputs": [TENSOR], "id": "x" * 5000}, "id: a text"),
        (image_input("no base64!"), "base64"),
        (image_input(base64.b64encode(b"Dear Sir or Madam").decode()), "image 0"),
        (image_input(""), "image 0"),
        ({"inputs": [{"name": "image", "shape": [2], "datatype": "BYTES", "data": ["aGk="]}]}, "2 texts"),
        ({"inputs": [{"name": "image", "shape": [1], "datatype": "UINT8", "data": [1]}]}, "BYTES is wanted"),
        ({"inputs": [{"name": "image", "shape": [1, 1, 1], "datatype": "BYTES", "data": ["a"]}]}, "wanted [-1, 1]"),
    ],
)
def test_a_wrong_request(server: Running, document: Any, words: str) -> None:
    _refused(server, words, document=document)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"inputs": [], "inputs": []}', "twice"),
        (b'{"a": NaN}', "no JSON number"),
        (b'{"a": -Infinity}', "no JSON number"),
        (b'{"a": "' + b'\\"' * 200_000, "brackets do not match"),
        (b"[" * 100_000, "nested more than 16 deep"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "nested more than 16 deep"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON"),
    ],
)
def test_what_is_no_json(server: Running, content: bytes, words: str) -> None:
    _refused(server, words, content=content)


@pytest.mark.parametrize("path", ["repository/index", "repository/models/a/load", "repository/models/a/unload"])
def test_deep_json_on_other_endpoints(server: Running, path: str) -> None:
    response = server.http.post(f"/v2/{path}", content=b'{"a":' * 900 + b"1" + b"}" * 900)
    assert response.status_code == 400
    assert "nested" in response.json()["error"]


@pytest.mark.parametrize("length", ["-1", "9999", "2147483648", "99999999999999999999", "1.5", "", "x", "٣", "0x10"])
def test_a_wrong_header_length(server: Running, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length.encode()}
    _refused(server, "Inference-Header-Content-Length", content=b"{}", headers=headers)


@pytest.mark.parametrize(
    ("head", "tail", "words"),
    [
        (_binary(768), b"\0" * 700, "binary data of 700 bytes"),
        (_binary(768), b"\0" * 800, "binary data of 800 bytes"),
        (_binary(800), b"\0" * 800, "has 800 bytes"),
        (_binary(-1), b"", "binary_data_size"),
        (_binary("768"), b"\0" * 768, "binary_data_size"),
        (_binary(2**70), b"\0" * 768, "binary_data_size"),
        (_binary(768, (2**31 - 1, 3, 8, 8)), b"\0" * 768, "at most 256"),
        (_binary(768), np.full(192, np.nan, np.float32).tobytes(), "NaN"),
        (_binary(4, (1,), "BYTES", "image"), b"\xff\xff\xff\xff", "longer than its tensor"),
        (_binary(3, (1,), "BYTES", "image"), b"\x01\0\0", "longer than its tensor"),
        (_binary(10, (1,), "BYTES", "image"), b"\x01\0\0\0a" * 2, "more than the 1 elements"),
        (_binary(5, (2,), "BYTES", "image"), b"\x01\0\0\0a", "holds 1 elements"),
        (_binary(0, (1,), "BYTES", "image"), b"", "holds 0 elements"),
    ],
)
def test_binary_tensors_that_do_not_add_up(server: Running, head: bytes, tail: bytes, words: str) -> None:
    headers = {"Inference-Header-Content-Length": str(len(head))}
    status = 413 if "at most" in words else 400
    _refused(server, words, status, content=head + tail, headers=headers)


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%2f..%2fa", "%00", "a%0d%0aX: y", "x" * 300, "%ff", "", "A", "a "])
def test_names_that_are_no_model(server: Running, name: str) -> None:
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        target = f"/v2/models/{name}{path}".encode()
        request = b"%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        answer = server.raw(request % (method.encode(), target))
        status = int(answer.split()[1])
        assert status in (400, 404, 405), answer
        assert "error" in json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/v2", 405),
        ("GET", "/v2/models/a/infer", 405),
        ("POST", "/v2/models/a", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/v2/models/a/trace/setting", 404),
        ("GET", "/v2/systemsharedmemory/status", 404),
        ("GET", "/v2/models/none", 404),
        ("GET", "/v2/models/none/stats", 404),
    ],
)
def test_errors_of_the_framework_are_json(server: Running, method: str, path: str, status: int) -> None:
    response = server.http.request(method, path)
    assert response.status_code == status
    assert isinstance(response.json()["error"], str)


def test_other_encodings(server: Running) -> None:
    response = server.infer(content=b"x", headers={"Content-Encoding": "br"})
    assert response.status_code == 415
    assert "gzip" in response.json()["error"]


def test_a_bad_image_leaves_the_other_requests_alone(server: Running, images: dict[str, Path]) -> None:
    good = base64.b64encode(images["red"].read_bytes()).decode()
    bad = base64.b64encode(images["red"].read_bytes()[:60]).decode()
    response = server.infer(image_input(good, bad))
    assert response.status_code == 400
    assert "image 1" in response.json()["error"]
    assert server.infer(image_input(good)).status_code == 200
    assert server.http.get("/metrics").text.count('residua_queue_images{model="a",version="1"} 0.0') == 1
