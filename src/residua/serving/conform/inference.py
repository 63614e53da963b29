"""Checks of inference in JSON: what a valid request gets, and what a wrong one."""

from __future__ import annotations

from typing import Any

from residua.serving.conform.check import (
    CLIENT,
    HTTP,
    REST,
    ROBUST,
    Check,
    Fault,
    Skip,
    Subject,
    answered,
    expect,
    flat,
    refused,
    volume,
)
from residua.serving.conform.exchange import Answer


def _answered(subject: Subject) -> None:
    document = answered(subject.infer(subject.valid()))
    expect(document.get("model_name") == subject.model, f"model_name is {document.get('model_name')!r}")
    outputs = document.get("outputs")
    expect(isinstance(outputs, list) and outputs, "outputs is no list")
    for output in outputs or []:
        expect(isinstance(output, dict) and isinstance(output.get("name"), str), "an output has no name")
        count = volume(output.get("shape"))
        expect(count >= 0, f"{output['name']} has shape {output.get('shape')!r}")
        data = output.get("data")
        expect(isinstance(data, list), f"{output['name']} has no data")
        expect(len(flat(data)) == count, f"{output['name']} has {len(flat(data))} values for shape {output['shape']}")


def _as_described(subject: Subject) -> None:
    document = answered(subject.infer(subject.valid()))
    described = {each["name"]: each for each in subject.metadata.get("outputs") or []}
    if not described:
        raise Skip("the metadata names no outputs")
    for output in document["outputs"]:
        wanted = described.get(output["name"])
        expect(wanted, f"output {output['name']!r} is not in the metadata")
        assert wanted is not None
        expect(output.get("datatype") == wanted["datatype"], f"{output['name']} has datatype {output.get('datatype')}")
        shape = wanted["shape"]
        fits = len(shape) == len(output["shape"]) and all(
            side in (-1, own) for side, own in zip(shape, output["shape"], strict=True)
        )
        expect(fits, f"{output['name']} has shape {output['shape']}, the metadata {shape}")


def _version(subject: Subject) -> None:
    version = answered(subject.infer(subject.valid())).get("model_version", "")
    expect(isinstance(version, str), f"model_version is {version!r}, wanted a text")


def _id(subject: Subject) -> None:
    name = "conform-42 ü"
    document = answered(subject.infer(subject.valid() | {"id": name}))
    expect(document.get("id") == name, f"id is {document.get('id')!r}, wanted {name!r}")


def _one_output(subject: Subject) -> None:
    names = [each["name"] for each in subject.answer.get("outputs", [])]
    if not names:
        raise Skip("no output is known")
    document = answered(subject.infer(subject.valid() | {"outputs": [{"name": names[-1]}]}))
    got = [each["name"] for each in document["outputs"]]
    expect(got == names[-1:], f"outputs {got}, wanted {names[-1:]}")


def _order(subject: Subject) -> None:
    names = [each["name"] for each in subject.answer.get("outputs", [])][::-1]
    if len(names) < 2:
        raise Skip("the model has one output")
    document = answered(subject.infer(subject.valid() | {"outputs": [{"name": name} for name in names]}))
    got = [each["name"] for each in document["outputs"]]
    expect(got == names, f"outputs {got}, wanted {names}")


def _nested(subject: Subject) -> None:
    request = subject.valid()
    for entry in request["inputs"]:
        entry["data"] = _folded(flat(entry["data"]), entry["shape"])
    nested = answered(subject.infer(request))["outputs"]
    for entry in request["inputs"]:
        entry["data"] = flat(entry["data"])
    expect(nested == answered(subject.infer(request))["outputs"], "nested and flat data give different answers")


def _folded(values: list[Any], shape: list[int]) -> list[Any]:
    for side in reversed(shape[1:]):
        values = [values[start : start + side] for start in range(0, len(values), max(side, 1))]
    return values


def _parameters(subject: Subject) -> None:
    request = subject.valid() | {"parameters": {"a_text": "x", "a_number": 1.5, "a_truth": True}}
    answered(subject.infer(request))


def _by_version(subject: Subject) -> None:
    versions = subject.metadata.get("versions")
    if not versions:
        raise Skip("the model states no versions")
    answered(subject.judge.post(f"{subject.path}/versions/{versions[0]}/infer", subject.valid()))


def _json_type(subject: Subject) -> None:
    kind = subject.infer(subject.valid()).headers.get("content-type", "")
    expect(kind.split(";")[0].strip() == "application/json", f"content type {kind!r}")


def _edited(subject: Subject, **edits: Any) -> Answer:
    request = subject.valid()
    request["inputs"][0] |= edits
    return subject.infer(request)


def _wrong_shape(subject: Subject) -> None:
    shape = subject.valid()["inputs"][0]["shape"]
    refused(_edited(subject, shape=[*shape[:-1], shape[-1] + 1]))


def _negative(subject: Subject) -> None:
    shape = subject.valid()["inputs"][0]["shape"]
    refused(_edited(subject, shape=[-side for side in shape]))


def _huge(subject: Subject) -> None:
    shape = subject.valid()["inputs"][0]["shape"]
    refused(_edited(subject, shape=[2**62] * len(shape)))


def _little_data(subject: Subject) -> None:
    data = flat(subject.valid()["inputs"][0]["data"])
    refused(_edited(subject, data=data[:-1]))


def _much_data(subject: Subject) -> None:
    data = flat(subject.valid()["inputs"][0]["data"])
    refused(_edited(subject, data=[*data, data[0]]))


def _wrong_datatype(subject: Subject) -> None:
    own = subject.valid()["inputs"][0]["datatype"]
    refused(_edited(subject, datatype="BOOL" if own != "BOOL" else "BYTES"))


def _no_datatype(subject: Subject) -> None:
    refused(_edited(subject, datatype="BANANA"))


def _unknown_input(subject: Subject) -> None:
    refused(_edited(subject, name="no such input"))


def _unknown_output(subject: Subject) -> None:
    refused(subject.infer(subject.valid() | {"outputs": [{"name": "no such output"}]}))


def _no_inputs(subject: Subject) -> None:
    refused(subject.infer({"id": "1"}))


def _twice(subject: Subject) -> None:
    request = subject.valid()
    refused(subject.infer(request | {"inputs": request["inputs"] * 2}))


def _output_twice(subject: Subject) -> None:
    names = [each["name"] for each in subject.answer.get("outputs", [])]
    if not names:
        raise Skip("no output is known")
    refused(subject.infer(subject.valid() | {"outputs": [{"name": names[0]}] * 2}))


def _not_json(subject: Subject) -> None:
    for body in (b"{", b"hello", b"\xff\xfe", b"[]", b"null"):
        refused(subject.judge.send("POST", f"{subject.path}/infer", body))


def _empty(subject: Subject) -> None:
    refused(subject.judge.send("POST", f"{subject.path}/infer", b""))


def _deep(subject: Subject) -> None:
    body = b'{"inputs":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    refused(subject.judge.send("POST", f"{subject.path}/infer", body))


def _names(subject: Subject) -> None:
    for name in ("..%2F..%2Fetc", "%00", "a%0Ab"):
        answer = subject.judge.get(f"v2/models/{name}")
        if not 400 <= answer.status < 500:
            raise Fault(f"{name}: {answer.fault or f'status {answer.status}'}, wanted 4xx")


CHECKS = (
    Check("A valid request is answered with model_name and outputs that fill their shapes", REST, _answered),
    Check("Outputs have the names, datatypes and shapes of the metadata", REST, _as_described),
    Check("model_version is a text", REST, _version),
    Check("The id of a request is echoed", REST, _id),
    Check("Only the outputs that were asked for come", REST, _one_output),
    Check("Outputs come in the order in which they were asked for", CLIENT, _order, "should"),
    Check("Data may be nested or flat, row-major", REST, _nested),
    Check("Parameters may be texts, numbers and booleans; unknown ones do no harm", REST, _parameters, "should"),
    Check("A version has its own …/infer", REST, _by_version),
    Check("An answer in JSON is application/json", HTTP, _json_type),
    Check("A shape other than the model's is refused", REST, _wrong_shape),
    Check("Negative sides of a shape are refused", ROBUST, _negative),
    Check("A shape whose product overflows is refused", ROBUST, _huge),
    Check("Less data than the shape has is refused", REST, _little_data),
    Check("More data than the shape has is refused", REST, _much_data),
    Check("Another datatype than the model's is refused", REST, _wrong_datatype),
    Check("A datatype that does not exist is refused", REST, _no_datatype),
    Check("An unknown input is refused", REST, _unknown_input),
    Check("An unknown output is refused", REST, _unknown_output),
    Check("A request without inputs is refused", REST, _no_inputs),
    Check("An input that stands twice is refused", ROBUST, _twice, "should"),
    Check("An output that is asked for twice is refused", ROBUST, _output_twice, "should"),
    Check("What is no JSON object is refused", REST, _not_json),
    Check("An empty body is refused", REST, _empty),
    Check("JSON nested 20,000 deep is refused", ROBUST, _deep),
    Check("Names of models with path and control characters are refused", ROBUST, _names),
)
