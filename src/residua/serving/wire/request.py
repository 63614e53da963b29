"""An inference request, parsed and checked: which images, which outputs, until when."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from residua.serving.refusal import Refusal
from residua.serving.settings import Limits
from residua.serving.wire.json_text import parse_json
from residua.serving.wire.tensors import (
    DATATYPES,
    FLOATS,
    MOST_BYTES,
    check_finite,
    check_shape,
    elements_of_bytes,
    floats_of_bytes,
    floats_of_json,
    shape_of,
)

IMAGE, TENSOR = "image", "tensor"
"""The inputs: encoded images, BYTES [-1]; prepared images, FP32 [-1, 3, H, W]. A request has one of them."""
LOGITS, PROBABILITIES = "logits", "probabilities"
OUTPUTS = (LOGITS, PROBABILITIES)
"""FP32 [-1, K] each."""

HEADER = "inference-header-content-length"
_LONGEST_ID = 1024


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives.

    Attributes:
        height: of a prepared image, pixels.
        width: of a prepared image, pixels.
        classes: how many there are.
    """

    height: int
    width: int
    classes: int


@dataclass(frozen=True)
class OutputRequest:
    """An output that a client wants.

    Attributes:
        name: one of `OUTPUTS`.
        binary: as bytes behind the JSON.
        top: classes of the classification extension; 0 for the tensor itself.
    """

    name: str
    binary: bool = False
    top: int = 0


@dataclass(frozen=True)
class InferRequest:
    """An inference request.

    Attributes:
        id: the client's, echoed; "" for none.
        images: encoded images; () where `tensor` is given.
        tensor: float32 (N, 3, H, W), prepared images, or None.
        outputs: in the order in which they were asked for.
        timeout: seconds within which the client wants its answer, or None.
    """

    id: str
    images: tuple[bytes, ...]
    tensor: npt.NDArray[np.float32] | None
    outputs: tuple[OutputRequest, ...]
    timeout: float | None

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.images) if self.tensor is None else len(self.tensor)


def parse_infer(
    content: bytes, headers: Mapping[str, str], signature: Signature, limits: Limits, most_images: int
) -> InferRequest:
    """Return the request that a body states.

    Args:
        content: the body, unpacked.
        headers: of HTTP, by lower-case name; `HEADER` states the length of the JSON before binary tensors. 0 means
            that the body is one encoded image and nothing else.
        signature: of the model.
        limits: of JSON.
        most_images: per request.

    Raises:
        Refusal: whatever is wrong, named.
    """
    length = _header_length(headers.get(HEADER), len(content))
    if length == 0:
        if not content:
            raise Refusal(400, "an empty body; with a header length of 0 the body is one encoded image")
        return InferRequest("", (content,), None, tuple(OutputRequest(name) for name in OUTPUTS), None)
    document = parse_json(content[:length], limits)
    parameters = _parameters(document, "the request")
    tensor = _one_input(document.get("inputs"))
    rest = memoryview(content)[len(content) if length is None else length :]
    images, values = _values(tensor, rest, signature, most_images)
    return InferRequest(
        _id(document.get("id", "")),
        images,
        values,
        _outputs(document.get("outputs"), _flag(parameters, "binary_data_output"), signature),
        _timeout(parameters),
    )


def _header_length(value: str | None, size: int) -> int | None:
    if value is None:
        return None
    text = value.strip()
    # `isdigit` takes digits of other scripts too, which `int` reads.
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > MOST_BYTES:
        raise Refusal(400, f"Inference-Header-Content-Length {text[:40]!r}; a whole number from 0 to 2³¹ − 1 is wanted")
    if int(text) > size:
        raise Refusal(400, f"Inference-Header-Content-Length {text}, but the body has {size} bytes")
    return int(text)


def _parameters(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    parameters = holder.get("parameters", {})
    if not isinstance(parameters, dict) or not all(isinstance(v, str | int | float) for v in parameters.values()):
        raise Refusal(400, f"parameters of {name}: an object of texts, numbers and booleans is wanted")
    # A client that asks for it reads a region that nobody has written.
    if shared := next((key for key in parameters if key.startswith("shared_memory_")), None):
        raise Refusal(400, f"parameter {shared[:40]!r} of {name}: this server shares no memory; send the data itself")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise Refusal(400, f"parameter {name}: true or false is wanted")
    return value


def _whole(parameters: Mapping[str, Any], name: str, least: int) -> int | None:
    value = parameters.get(name)
    if value is not None and (type(value) is not int or not least <= value <= 2**63 - 1):
        raise Refusal(400, f"parameter {name}: a whole number from {least} on is wanted")
    return value


def _timeout(parameters: Mapping[str, Any]) -> float | None:
    """Return the deadline in seconds; the protocol's unit is a microsecond, and 0 stands for none."""
    microseconds = _whole(parameters, "timeout", 0)
    return microseconds / 1e6 if microseconds else None


def _id(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_ID:
        raise Refusal(400, f"id: a text of at most {_LONGEST_ID} characters is wanted")
    return value


def _named(entries: Any, what: str) -> list[dict[str, Any]]:
    """Return the entries of a list of objects with different names."""
    if not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
        raise Refusal(400, f"{what}: a list of objects is wanted")
    names = [each.get("name") for each in entries]
    if not all(isinstance(name, str) for name in names):
        raise Refusal(400, f"{what}: each needs a name")
    if len(set(names)) != len(names):
        raise Refusal(400, f"{what}: a name stands twice")
    return entries


def _one_input(inputs: Any) -> dict[str, Any]:
    entries = _named(inputs, "inputs")
    for entry in entries:
        if entry["name"] not in (IMAGE, TENSOR):
            raise Refusal(400, f"no input {entry['name'][:80]!r}; there are {IMAGE!r} and {TENSOR!r}", "unknown")
    if len(entries) != 1:
        raise Refusal(400, f"give {IMAGE!r} or {TENSOR!r}, not both")
    return entries[0]


def _values(
    entry: Mapping[str, Any], rest: memoryview, signature: Signature, most: int
) -> tuple[tuple[bytes, ...], npt.NDArray[np.float32] | None]:
    name, datatype = str(entry["name"]), entry.get("datatype")
    if datatype not in DATATYPES:
        raise Refusal(400, f"input {name!r}: datatype {str(datatype)[:40]!r}; one of {', '.join(DATATYPES)} is wanted")
    shape = shape_of(entry.get("shape"), name)
    size = _whole(_parameters(entry, name), "binary_data_size", 0)
    if (size is None) == ("data" not in entry):
        raise Refusal(400, f"input {name!r}: either data or the parameter binary_data_size is wanted")
    if (size or 0) != len(rest):
        raise Refusal(400, f"binary data of {len(rest)} bytes behind the JSON; the inputs state {size or 0}")
    if name == IMAGE:
        if datatype != "BYTES":
            raise Refusal(400, f"input {IMAGE!r} is {datatype}; BYTES is wanted")
        # [N, 1] is what clients send that put a batch axis before each element.
        check_shape(shape, (-1,) if len(shape) == 1 else (-1, 1), name)
        _check_count(shape[0], most)
        elements = _encoded(entry["data"], shape[0]) if size is None else elements_of_bytes(rest, shape[0], name)
        return tuple(elements), None
    if datatype not in FLOATS:
        raise Refusal(400, f"input {TENSOR!r} is {datatype}; FP32 is wanted, or FP16 or FP64")
    check_shape(shape, (-1, 3, signature.height, signature.width), name)
    _check_count(shape[0], most)
    if size is None:
        values = floats_of_json(entry["data"], datatype, shape, name)
    else:
        values = floats_of_bytes(rest, datatype, shape, name)
    check_finite(values, name)
    return (), values


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise Refusal(413, f"{count} images in a request; at most {most} are taken", "too_large")


def _encoded(data: Any, count: int) -> list[bytes]:
    """Return the images of JSON texts: JSON cannot hold bytes, so they are in base64."""
    texts = [text for each in data for text in (each if isinstance(each, list) else [each])] if _is_list(data) else []
    if len(texts) != count or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, f"data of {IMAGE!r}: a list of {count} texts in base64 is wanted")
    try:
        return [base64.b64decode(text, validate=True) for text in texts]
    except (binascii.Error, ValueError):
        raise Refusal(400, f"data of {IMAGE!r}: an image in JSON must be in base64; binary data needs none") from None


def _is_list(data: Any) -> bool:
    return isinstance(data, list)


def _outputs(entries: Any, binary: bool, signature: Signature) -> tuple[OutputRequest, ...]:
    if entries is None or entries == []:
        return tuple(OutputRequest(name, binary) for name in OUTPUTS)
    requests = []
    for entry in _named(entries, "outputs"):
        name = str(entry["name"])
        if name not in OUTPUTS:
            wanted = " and ".join(map(repr, OUTPUTS))
            raise Refusal(400, f"no output {name[:80]!r}; there are {wanted}", "unknown")
        parameters = _parameters(entry, name)
        top = _whole(parameters, "classification", 1) or 0
        own = _flag(parameters, "binary_data") if "binary_data" in parameters else binary
        requests.append(OutputRequest(name, own, min(top, signature.classes)))
    return tuple(requests)
