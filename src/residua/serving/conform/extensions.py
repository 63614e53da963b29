"""Checks of the extensions that a server states, and of compression; the last one looks whether it still lives."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np

from residua.serving.conform.check import (
    BINARY,
    CLASSES,
    CONFIG,
    HTTP,
    REPOSITORY,
    ROBUST,
    STATISTICS,
    Check,
    Skip,
    Subject,
    answered,
    expect,
    flat,
    refused,
    volume,
)
from residua.serving.conform.exchange import Answer
from residua.serving.wire.tensors import NUMBERS, bytes_of_elements

_LENGTH = "Inference-Header-Content-Length"


def _bytes(entry: dict[str, Any]) -> bytes:
    data = flat(entry["data"])
    if entry["datatype"] == "BYTES":
        return bytes_of_elements([str(each).encode() for each in data])
    return np.array(data).astype(NUMBERS[entry["datatype"]]).tobytes()


def _binary_request(subject: Subject, size: int = 0, **edits: Any) -> tuple[bytes, bytes]:
    """Return the JSON and the tensors of a binary request; `size` is added to what the first input states."""
    subject.need("binary_tensor_data")
    request = subject.valid() | edits
    tail = b""
    for entry in request["inputs"]:
        content = _bytes(entry)
        del entry["data"]
        entry["parameters"] = {"binary_data_size": len(content) + size}
        tail += content
    return json.dumps(request).encode(), tail


def _send(subject: Subject, head: bytes, tail: bytes, length: str | None = None, **headers: str) -> Answer:
    sent = {_LENGTH: str(len(head)) if length is None else length, "Content-Type": "application/octet-stream"}
    return subject.judge.send("POST", f"{subject.path}/infer", head + tail, sent | headers)


def _binary_input(subject: Subject) -> None:
    document = answered(_send(subject, *_binary_request(subject)))
    expect(document["outputs"] == subject.answer["outputs"], "binary and JSON input give different answers")


def _split(answer: Answer) -> tuple[dict[str, Any], bytes]:
    expect(answer.status == 200, answer.fault or f"status {answer.status}, wanted 200")
    length = answer.headers.get(_LENGTH.lower(), "")
    expect(length.isdigit(), f"{_LENGTH} is {length!r}")
    try:
        return json.loads(answer.body[: int(length)]), answer.body[int(length) :]
    except ValueError:
        expect(False, f"the first {length} bytes are no JSON")
        raise


def _check_binary(document: dict[str, Any], tail: bytes, wanted: list[dict[str, Any]]) -> None:
    at = 0
    for output, other in zip(document["outputs"], wanted, strict=True):
        size = output.get("parameters", {}).get("binary_data_size")
        expect(isinstance(size, int), f"{output['name']} has no binary_data_size")
        content = tail[at : at + size]
        at += size
        if output["datatype"] == "BYTES":
            continue
        values = np.frombuffer(content, NUMBERS[output["datatype"]])
        expect(len(values) == volume(output["shape"]), f"{output['name']} has {size} bytes for {output['shape']}")
        same = np.allclose(values, np.array(flat(other["data"])), rtol=1e-5, atol=1e-6, equal_nan=True)
        expect(same, f"{output['name']} differs between binary and JSON")
    expect(at == len(tail), f"{len(tail)} bytes behind the JSON, the outputs state {at}")


def _binary_output(subject: Subject) -> None:
    subject.need("binary_tensor_data")
    outputs = [{"name": each["name"], "parameters": {"binary_data": True}} for each in subject.answer["outputs"]]
    answer = subject.infer(subject.valid() | {"outputs": outputs})
    _check_binary(*_split(answer), subject.answer["outputs"])


def _all_binary(subject: Subject) -> None:
    subject.need("binary_tensor_data")
    answer = subject.infer(subject.valid() | {"parameters": {"binary_data_output": True}})
    _check_binary(*_split(answer), subject.answer["outputs"])


def _octets(subject: Subject) -> None:
    subject.need("binary_tensor_data")
    kind = subject.infer(subject.valid() | {"parameters": {"binary_data_output": True}}).headers.get("content-type", "")
    expect(kind.split(";")[0].strip() == "application/octet-stream", f"content type {kind!r}")


def _long_header(subject: Subject) -> None:
    head, tail = _binary_request(subject)
    refused(_send(subject, head, tail, str(len(head) + len(tail) + 1)))


def _bad_headers(subject: Subject) -> None:
    head, tail = _binary_request(subject)
    for length in ("-1", "2147483648", "99999999999999999999", "x"):
        refused(_send(subject, head, tail, length))


def _little_tail(subject: Subject) -> None:
    head, tail = _binary_request(subject)
    refused(_send(subject, head, tail[:-1]))


def _wrong_size(subject: Subject) -> None:
    head, tail = _binary_request(subject, size=1)
    refused(_send(subject, head, tail + b"\0"))


def _classes(subject: Subject) -> None:
    subject.need("classification")
    output = subject.answer["outputs"][-1]
    if len(output["shape"]) != 2:
        raise Skip("no output of shape [batch, classes]")
    batch, count = output["shape"]
    top = min(2, count)
    asked = {"name": output["name"], "parameters": {"classification": top}}
    (got,) = answered(subject.infer(subject.valid() | {"outputs": [asked]}))["outputs"]
    expect(got["datatype"] == "BYTES", f"datatype {got['datatype']}, wanted BYTES")
    expect(got["shape"] == [batch, top], f"shape {got['shape']}, wanted {[batch, top]}")
    texts = flat(got["data"])
    parts = [str(text).split(":") for text in texts]
    expect(all(len(part) >= 2 and part[1].isdigit() for part in parts), f"{texts[0]!r} is no value:index:label")
    values = [float(part[0]) for part in parts[:top]]
    expect(values == sorted(values, reverse=True), "the classes are not sorted by value")
    row = flat(output["data"])[:count]
    expect(abs(row[int(parts[0][1])] - max(row)) < 1e-6, "the first class is not the greatest")


def _count(subject: Subject) -> int:
    (entry, *_) = answered(subject.judge.get(f"{subject.path}/stats"))["model_stats"]
    expect(entry.get("name") == subject.model, f"name is {entry.get('name')!r}")
    success = entry["inference_stats"]["success"]
    expect(isinstance(success.get("ns"), int), "success has no ns")
    return int(success["count"])


def _statistics(subject: Subject) -> None:
    subject.need("statistics")
    before = _count(subject)
    answered(subject.infer(subject.valid()))
    after = _count(subject)
    expect(after == before + 1, f"a request changed the count of successes from {before} to {after}")


def _config(subject: Subject) -> None:
    subject.need("model_configuration")
    document = answered(subject.judge.get(f"{subject.path}/config"))
    expect(document.get("name") == subject.model, f"name is {document.get('name')!r}")
    expect(isinstance(document.get("max_batch_size"), int), "no max_batch_size")


def _index(subject: Subject) -> None:
    subject.need("model_repository")
    entries = answered(subject.judge.post("v2/repository/index"))
    expect(isinstance(entries, list), "the index is no list")
    expect(subject.model in [each.get("name") for each in entries], f"{subject.model} is not in the index")


def _unknown_load(subject: Subject) -> None:
    subject.need("model_repository")
    refused(subject.judge.post("v2/repository/models/no-such-model/load"))


def _gzip_request(subject: Subject) -> None:
    body = gzip.compress(json.dumps(subject.valid()).encode())
    answer = subject.judge.send("POST", f"{subject.path}/infer", body, {"Content-Encoding": "gzip"})
    expect(answered(answer)["outputs"] == subject.answer["outputs"], "the answer differs")


def _gzip_damaged(subject: Subject) -> None:
    body = gzip.compress(json.dumps(subject.valid()).encode())[:-6]
    refused(subject.judge.send("POST", f"{subject.path}/infer", body, {"Content-Encoding": "gzip"}))


def _gzip_answer(subject: Subject) -> None:
    body = json.dumps(subject.valid()).encode()
    answer = subject.judge.send("POST", f"{subject.path}/infer", body, {"Accept-Encoding": "gzip"})
    expect(answered(answer)["outputs"] == subject.answer["outputs"], "the answer differs")


def _alive(subject: Subject) -> None:
    answer = subject.judge.get("v2/health/ready")
    expect(answer.status == 200, answer.fault or f"status {answer.status} after all these requests")
    document = answered(subject.infer(subject.valid()))
    expect(document["outputs"] == subject.answer["outputs"], "the first request has another answer now")


CHECKS = (
    Check("Binary input gives the answer of JSON input", BINARY, _binary_input),
    Check("Binary output has the values of JSON, little-endian, and sizes that add up", BINARY, _binary_output),
    Check("binary_data_output makes all outputs binary", BINARY, _all_binary),
    Check("A binary answer is application/octet-stream", BINARY, _octets, "should"),
    Check("A header length above the body's is refused", BINARY, _long_header),
    Check("Header lengths that are negative, huge or no number are refused", ROBUST, _bad_headers),
    Check("Fewer bytes than the inputs state are refused", BINARY, _little_tail),
    Check("A binary_data_size other than shape × type is refused", BINARY, _wrong_size),
    Check("classification gives value:index:label, BYTES [batch, k], sorted", CLASSES, _classes),
    Check("Statistics count a request once", STATISTICS, _statistics),
    Check("A model's configuration has its name and max_batch_size", CONFIG, _config),
    Check("The repository's index takes an empty body and names the model", REPOSITORY, _index),
    Check("Loading an unknown model is refused", REPOSITORY, _unknown_load),
    Check("A request in gzip is answered", "tritonclient 2.73", _gzip_request, "should"),
    Check("A request in damaged gzip is refused", ROBUST, _gzip_damaged),
    Check("An answer in gzip unpacks to the same", HTTP, _gzip_answer),
    Check("After all this the server is ready and answers as before", ROBUST, _alive),
)
