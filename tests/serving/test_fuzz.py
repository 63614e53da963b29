"""Whatever stands in a body: a request is parsed, or refused with 4xx and a reason."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from residua.serving.refusal import Refusal
from residua.serving.settings import Limits
from residua.serving.wire.body import unpacked
from residua.serving.wire.request import HEADER, Signature, parse_infer

SIGNATURE = Signature(2, 2, 3)
WORDS = st.sampled_from(
    [
        *("inputs", "outputs", "name", "shape", "datatype", "data", "parameters", "id", "image", "tensor", "logits"),
        *("FP32", "BYTES", "FP16", "binary_data_size", "binary_data", "classification", "timeout", "aGk=", ""),
    ]
)
NUMBERS = st.one_of(st.integers(-3, 20), st.integers(), st.floats(), st.sampled_from([2**31, 2**63, -(2**63), 1e308]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=13), st.dictionaries(WORDS, inner, max_size=6)),
    max_leaves=30,
)
PARAMETERS = st.dictionaries(WORDS, VALUES, max_size=3)
# Near to what is right, so that the last checks are reached, too.
INPUT = st.fixed_dictionaries(
    {"name": st.sampled_from(["image", "tensor"]), "datatype": st.sampled_from(["FP32", "FP64", "FP16", "BYTES"])},
    optional={
        "shape": st.one_of(st.just([1, 3, 2, 2]), st.just([1]), VALUES),
        "data": st.one_of(st.lists(NUMBERS, min_size=12, max_size=12), st.just(["aGk="]), VALUES),
        "parameters": st.one_of(st.fixed_dictionaries({"binary_data_size": st.integers(-1, 60)}), PARAMETERS),
    },
)
OUTPUT = st.fixed_dictionaries(
    {"name": st.sampled_from(["logits", "probabilities", "x"])}, optional={"parameters": PARAMETERS}
)
REQUEST = st.fixed_dictionaries(
    {"inputs": st.one_of(st.lists(INPUT, min_size=1, max_size=2), VALUES)},
    optional={"outputs": st.one_of(st.lists(OUTPUT, max_size=3), VALUES), "parameters": PARAMETERS, "id": VALUES},
)


def _refusal(work: Callable[[], object]) -> Refusal | None:
    """Return the refusal that a call ends with, None where it returns; any other error fails the test."""
    try:
        work()
    except Refusal as refusal:
        return refusal
    return None


def _parse(content: bytes, headers: dict[str, str]) -> None:
    def parse() -> None:
        request = parse_infer(content, headers, SIGNATURE, Limits(), 4)
        assert 1 <= request.count <= 4
        assert request.outputs
        assert request.tensor is None or request.tensor.shape[1:] == (3, 2, 2)

    if refusal := _refusal(parse):
        assert 400 <= refusal.status < 500
        assert json.loads(refusal.body())["error"]


@settings(max_examples=400, deadline=None)
@given(REQUEST, st.binary(max_size=60), st.one_of(st.none(), st.integers(-2, 200)))
def test_requests(document: Any, tail: bytes, offset: int | None) -> None:
    head = json.dumps(document).encode()
    length = None if offset is None else str(len(head) if offset < 100 else offset)
    _parse(head + (tail if length else b""), {} if length is None else {HEADER: length})


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.one_of(st.none(), st.text(max_size=12)))
def test_bytes(content: bytes, length: str | None) -> None:
    _parse(content, {} if length is None else {HEADER: length})


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300), st.binary(max_size=4))
def test_compressed_bytes(content: bytes, end: int, tail: bytes) -> None:
    stream = zlib.compress(content)
    assert unpacked(stream, Limits()) == content
    for body in (content, stream[:end], stream + tail):
        refusal = _refusal(lambda body=body: unpacked(body, Limits()))
        assert refusal is None or refusal.status in (400, 413)
