"""External data of an ONNX file: weights in files beside it, whose names and ranges its author chose.

A path out of the folder would read any file of whoever opens it. onnx itself had that fault (CVE-2022-25882,
CVE-2024-27318). So the names are checked here, before any runtime sees the file.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from residua._base.errors import InputError
from residua._base.packages import package

_KEYS = {"location", "offset", "length", "checksum"}
"""Of the specification (onnx, ExternalData.md)."""
_LARGEST = 1 << 62


class _Entry(NamedTuple):
    tensor: str
    location: str
    offset: int
    length: int | None


def check_external_data(path: Path) -> tuple[str, ...]:
    """Return the names of the files that an ONNX file reads its weights from, none where all are inside.

    Each must be a regular file in the same folder or below, reached through no link, and hold the bytes that the
    tensor needs.

    Raises:
        InputError: the file is no ONNX file, or reads anything else; nothing outside its folder is opened.
    """
    onnx = package("onnx", "onnx")
    google = package("google.protobuf.message", "onnx")
    try:
        model = onnx.load(path, load_external_data=False)
    except google.DecodeError:
        raise InputError(f"{path}, which is no ONNX file", "an ONNX file", "Export the run again") from None
    names: dict[str, None] = {}
    for tensor in _tensors(model, onnx):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entry = _parsed(tensor, path)
            _check_file(path, entry, _bytes_of(tensor, onnx))
            names[entry.location] = None
    return tuple(names)


def _tensors(model: Any, onnx: Any) -> Iterator[Any]:
    """Yield every tensor of a model: of graphs inside nodes, of functions and of training information too."""
    yield from _of_graph(model.graph, onnx)
    for function in model.functions:
        yield from chain.from_iterable(_of_node(node, onnx) for node in function.node)
        yield from chain.from_iterable(_of_attribute(each, onnx) for each in function.attribute_proto)
    for training in model.training_info:
        yield from _of_graph(training.initialization, onnx)
        yield from _of_graph(training.algorithm, onnx)


def _of_graph(graph: Any, onnx: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node, onnx)


def _of_node(node: Any, onnx: Any) -> Iterator[Any]:
    return chain.from_iterable(_of_attribute(each, onnx) for each in node.attribute)


def _of_attribute(attribute: Any, onnx: Any) -> Iterator[Any]:
    # Whatever type it states: a runtime may read the field that another skips.
    yield from (attribute.t, *attribute.tensors)
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    if attribute.HasField("g"):
        yield from _of_graph(attribute.g, onnx)
    for graph in attribute.graphs:
        yield from _of_graph(graph, onnx)


def _bytes_of(tensor: Any, onnx: Any) -> int:
    """Return the bytes that a tensor's shape and type take; 0 where they cannot be known, which its runtime refuses."""
    kinds = onnx.TensorProto
    nibbles = {getattr(kinds, name, None) for name in ("INT4", "UINT4", "FLOAT4E2M1")} - {None}
    count = math.prod(max(int(size), 0) for size in tensor.dims)
    if tensor.data_type in nibbles:
        return (count + 1) // 2
    try:
        return count * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, ValueError, TypeError):
        return 0


def _parsed(tensor: Any, path: Path) -> _Entry:
    fields: dict[str, str] = {}
    name = tensor.name[:80]
    for each in tensor.external_data:
        if each.key not in _KEYS or each.key in fields:
            raise _refused(path, name, f"the field {each.key[:40]!r} in its external data", "each known field once")
        fields[each.key] = each.value
    numbers: dict[str, int] = {}
    for key in ("offset", "length"):
        text = fields.get(key, "0")
        if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > _LARGEST:
            raise _refused(path, name, f"{key} {text[:40]!r}", "a number of bytes in the file")
        numbers[key] = int(text)
    # onnx writes no length where the tensor takes the rest of its file.
    length = numbers["length"] if "length" in fields else None
    return _Entry(name, fields.get("location", ""), numbers["offset"], length)


def _check_file(path: Path, entry: _Entry, wanted: int) -> None:
    """Refuse a location outside the folder, a link on the way to it, and a range beyond the file."""
    location, windows = entry.location, PureWindowsPath(entry.location)
    parts = windows.parts  # it splits at both kinds of slash
    inside = parts and "\0" not in location and ":" not in location and not windows.anchor and ".." not in parts
    if not inside:
        raise _refused(path, entry.tensor, f"weights in {location[:80]!r}", "a file in the folder of the ONNX file")
    if "\\" in location:
        raise _refused(path, entry.tensor, f"weights in {location[:80]!r}", "a path with '/' alone")
    file = path.parent
    try:
        for part in parts:
            file = file / part
            if stat.S_ISLNK((status := os.lstat(file)).st_mode):
                raise _refused(path, entry.tensor, f"weights behind the link {location[:80]!r}", "a file itself")
    except (OSError, ValueError) as error:
        raise _refused(path, entry.tensor, f"weights in {location[:80]!r}, which cannot be read", str(error)) from None
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise _refused(
            path, entry.tensor, f"weights in {location[:80]!r}", "a regular file of one name: others may lie outside"
        )
    length = wanted if entry.length is None else entry.length
    if length < wanted or entry.offset + length > status.st_size:
        raise _refused(
            path,
            entry.tensor,
            f"bytes {entry.offset} to {entry.offset + length} of {location[:80]!r}, which has {status.st_size}",
            f"the {wanted} bytes of the tensor, inside the file",
        )


def _refused(path: Path, tensor: str, fault: str, wanted: str) -> InputError:
    return InputError(
        f"{path}, whose tensor {tensor!r} has {fault}", wanted, "Do not open it, unless you know who made it"
    )
