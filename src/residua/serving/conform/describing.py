"""Checks of health and metadata."""

from __future__ import annotations

from typing import Any

from residua.serving.conform.check import HTTP, REST, YAML, Check, Skip, Subject, answered, expect, refused
from residua.serving.wire.tensors import DATATYPES


def _live(subject: Subject) -> None:
    answer = subject.judge.get("v2/health/live")
    expect(answer.status == 200, answer.fault or f"status {answer.status}, wanted 200")


def _ready(subject: Subject) -> None:
    answer = subject.judge.get("v2/health/ready")
    expect(answer.status == 200, answer.fault or f"status {answer.status}, wanted 200")


def _health_body(subject: Subject) -> None:
    for name in ("live", "ready"):
        document = answered(subject.judge.get(f"v2/health/{name}"))
        expect(isinstance(document, dict) and document.get(name) is True, f'no {{"{name}": true}}')


def _server(subject: Subject) -> None:
    for path in ("v2", "v2/"):
        if subject.judge.get(path).status == 200:
            break
    document = answered(subject.judge.got)
    expect(isinstance(document, dict), "the metadata is no object")
    for name in ("name", "version"):
        expect(isinstance(document.get(name), str), f"{name} is no text")
    listed = document.get("extensions")
    expect(isinstance(listed, list) and all(isinstance(each, str) for each in listed), "extensions is no list of texts")


def _both_addresses(subject: Subject) -> None:
    first = answered(subject.judge.get("v2"))
    expect(answered(subject.judge.get("v2/")) == first, "v2 and v2/ answer differently")


def _metadata(subject: Subject) -> None:
    document = answered(subject.judge.get(subject.path))
    expect(isinstance(document, dict), "the metadata is no object")
    expect(document.get("name") == subject.model, f"name is {document.get('name')!r}")
    expect(isinstance(document.get("platform"), str), "platform is no text")
    for kind in ("inputs", "outputs"):
        entries = document.get(kind)
        expect(isinstance(entries, list), f"{kind} is no list")
        for entry in entries or []:
            _tensor(kind, entry)


def _tensor(kind: str, entry: Any) -> None:
    expect(isinstance(entry, dict) and isinstance(entry.get("name"), str), f"an entry of {kind} has no name")
    expect(entry.get("datatype") in DATATYPES, f"{entry['name']} has datatype {entry.get('datatype')!r}")
    shape = entry.get("shape")
    sound = isinstance(shape, list) and all(type(side) is int and side >= -1 for side in shape)
    expect(sound, f"{entry['name']} has shape {shape!r}")


def _versions(subject: Subject) -> None:
    versions = _stated_versions(subject)
    for version in versions:
        document = answered(subject.judge.get(f"{subject.path}/versions/{version}"))
        expect(document.get("name") == subject.model, f"name is {document.get('name')!r}")


def _stated_versions(subject: Subject) -> list[str]:
    versions = subject.metadata.get("versions")
    if not versions:
        raise Skip("the model states no versions")
    sound = isinstance(versions, list) and all(isinstance(each, str) for each in versions)
    expect(sound, "versions is no list of texts")
    return list(versions)


def _unknown_version(subject: Subject) -> None:
    _stated_versions(subject)
    refused(subject.judge.get(f"{subject.path}/versions/987654321"))


def _model_ready(subject: Subject) -> None:
    answer = subject.judge.get(f"{subject.path}/ready")
    expect(answer.status == 200, answer.fault or f"status {answer.status}, wanted 200")


def _model_ready_body(subject: Subject) -> None:
    document = answered(subject.judge.get(f"{subject.path}/ready"))
    sound = isinstance(document, dict) and document.get("name") == subject.model and document.get("ready") is True
    expect(sound, 'no {"name": …, "ready": true}')


def _unknown_model(subject: Subject) -> None:
    refused(subject.judge.get("v2/models/no-such-model"))


def _unknown_status(subject: Subject) -> None:
    answer = subject.judge.get("v2/models/no-such-model")
    expect(answer.status == 404, f"status {answer.status}, wanted 404")


def _unknown_ready(subject: Subject) -> None:
    answer = subject.judge.get("v2/models/no-such-model/ready")
    expect(400 <= answer.status < 500, answer.fault or f"status {answer.status}, wanted 4xx")


def _unknown_infer(subject: Subject) -> None:
    refused(subject.judge.post("v2/models/no-such-model/infer", {"inputs": []}))


def _unknown_address(subject: Subject) -> None:
    refused(subject.judge.get("v2/no/such/address"))


def _method(subject: Subject) -> None:
    answer = subject.judge.get(f"{subject.path}/infer")
    expect(answer.status == 405, answer.fault or f"status {answer.status}, wanted 405")


def _content_type(subject: Subject) -> None:
    answer = subject.judge.get(subject.path)
    kind = answer.headers.get("content-type", "")
    expect(kind.split(";")[0].strip() == "application/json", f"content type {kind!r}")


CHECKS = (
    Check("GET v2/health/live answers 200", REST, _live),
    Check("GET v2/health/ready answers 200 where all models are ready", REST, _ready),
    Check('Health answers carry {"live": true} and {"ready": true}', YAML, _health_body, "should"),
    Check("Server metadata has name, version and extensions", REST, _server),
    Check("Server metadata is at v2 and at v2/ alike", YAML, _both_addresses, "should"),
    Check("Model metadata has name, platform, inputs, outputs with datatypes and shapes", REST, _metadata),
    Check("JSON is sent as application/json", HTTP, _content_type),
    Check("Every version that a model states has its own address", REST, _versions),
    Check("An unknown version is refused", REST, _unknown_version),
    Check("GET …/ready answers 200 for a model that is ready", REST, _model_ready),
    Check('A model\'s ready carries {"name", "ready"}', YAML, _model_ready_body, "should"),
    Check("An unknown model's metadata is refused with an error object", REST, _unknown_model),
    Check("An unknown model is answered with 404", "Triton and KServe", _unknown_status, "should"),
    Check("An unknown model is not ready", REST, _unknown_ready),
    Check("Inference of an unknown model is refused with an error object", REST, _unknown_infer),
    Check("An unknown address is refused with an error object", "tritonclient 2.73", _unknown_address, "should"),
    Check("GET of …/infer is answered with 405", HTTP, _method, "should"),
)
