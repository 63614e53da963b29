"""An inference response: JSON, or JSON with binary tensors behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from residua.serving.wire.request import HEADER, OutputRequest
from residua.serving.wire.tensors import bytes_of_elements

Floats = npt.NDArray[np.float32]


def infer_response(
    model: str,
    version: str,
    request_id: str,
    outputs: Sequence[OutputRequest],
    values: Mapping[str, Floats],
    classes: Sequence[str],
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers.

    Args:
        model: its name.
        version: of the model.
        request_id: echoed where it is not "".
        outputs: what the client wants, in its order.
        values: (B, K) by the name of the output.
        classes: names, for the classification extension.
    """
    entries: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for output in outputs:
        entry, content = _entry(output, values[output.name], classes)
        entries.append(entry)
        tail += [] if content is None else [content]
    document: dict[str, Any] = {"model_name": model, "model_version": version}
    document |= {"id": request_id} if request_id else {}
    text = json.dumps(document | {"outputs": entries}, allow_nan=False).encode()
    if not any(output.binary for output in outputs):
        return text, {"content-type": "application/json"}
    return b"".join([text, *tail]), {"content-type": "application/octet-stream", HEADER: str(len(text))}


def classified(values: Floats, classes: Sequence[str], top: int) -> list[list[str]]:
    """Return "value:index:label" of the `top` classes of each row, greatest first; of equal ones the lower index."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :top]
    # Nine digits give every float32 back.
    return [
        [f"{row[index]:.9g}:{index}:{classes[index]}" for index in indices]
        for row, indices in zip(values, order.tolist(), strict=True)
    ]


def _entry(output: OutputRequest, values: Floats, classes: Sequence[str]) -> tuple[dict[str, Any], bytes | None]:
    """Return an output's JSON, and its bytes where it is binary."""
    entry: dict[str, Any] = {"name": output.name}
    if output.top:
        texts = classified(values, classes, output.top)
        entry |= {"datatype": "BYTES", "shape": [len(texts), output.top]}
        flat = [text for row in texts for text in row]
        content = bytes_of_elements([text.encode() for text in flat]) if output.binary else None
        return _with_data(entry, flat, content)
    entry |= {"datatype": "FP32", "shape": list(values.shape)}
    content = values.astype("<f4", copy=False).tobytes() if output.binary else None
    return _with_data(entry, values, content)


def _with_data(entry: dict[str, Any], data: Any, content: bytes | None) -> tuple[dict[str, Any], bytes | None]:
    if content is not None:
        return entry | {"parameters": {"binary_data_size": len(content)}}, content
    return entry | {"data": data.reshape(-1).tolist() if isinstance(data, np.ndarray) else data}, None
