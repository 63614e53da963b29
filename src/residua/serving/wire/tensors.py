"""Tensors of the protocol: datatypes, shapes, and their bytes; checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from residua.serving.refusal import Refusal

NUMBERS: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (4, 8, 2)},
}
"""The protocol's datatypes of numbers, as binary tensors hold them: little-endian."""
FLOATS = {name: kind for name, kind in NUMBERS.items() if kind.kind == "f"}
DATATYPES = (*NUMBERS, "BYTES")
MOST_BYTES = 2**31 - 1
"""Lengths that signed 32-bit clients can state."""
_LENGTH_BYTES = 4


def shape_of(value: Any, name: str) -> tuple[int, ...]:
    """Return the shape that a request states.

    Raises:
        Refusal: no list of whole numbers from 1 to 2³¹ − 1, at most 8 of them.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= 8:
        raise Refusal(400, f"shape of {name!r}: a list of 1 to 8 whole numbers is wanted")
    for side in value:
        if type(side) is not int or not 1 <= side <= MOST_BYTES:
            raise Refusal(400, f"shape of {name!r} holds {str(side)[:40]}; each must be a whole number from 1 on")
    return tuple(value)


def check_shape(shape: Sequence[int], wanted: Sequence[int], name: str) -> None:
    """Refuse a shape other than the wanted one, in which −1 stands for any number.

    Raises:
        Refusal: states both.
    """
    fits = len(shape) == len(wanted) and all(b in (-1, a) for a, b in zip(shape, wanted, strict=True))
    if not fits:
        raise Refusal(400, f"input {name!r} has shape {list(shape)}; wanted {list(wanted)}")


def floats_of_bytes(content: memoryview, datatype: str, shape: Sequence[int], name: str) -> npt.NDArray[np.float32]:
    """Return a binary tensor as float32; float32 is not copied.

    Raises:
        Refusal: its length is not shape × type.
    """
    kind = FLOATS[datatype]
    wanted = math.prod(shape) * kind.itemsize
    if len(content) != wanted:
        raise Refusal(400, f"input {name!r} has {len(content)} bytes; {list(shape)} of {datatype} takes {wanted}")
    return np.frombuffer(content, kind).reshape(shape).astype(np.float32, copy=False)


def floats_of_json(data: Any, datatype: str, shape: Sequence[int], name: str) -> npt.NDArray[np.float32]:
    """Return the tensor of nested or flat JSON numbers, row-major, as float32.

    Raises:
        Refusal: not numbers, or not as many as the shape has.
    """
    if datatype == "FP16":
        raise Refusal(400, f"input {name!r}: FP16 has no form in JSON; send it as binary data")
    try:
        # Ragged lists, texts and nulls fail here. NumPy takes booleans among numbers for numbers.
        values = np.asarray(data)
        if values.dtype.kind not in "iuf" or _holds_booleans(data):
            raise ValueError("other than numbers")
    except (ValueError, TypeError, OverflowError):
        raise Refusal(400, f"data of {name!r}: nested or flat lists of numbers are wanted") from None
    if values.size != math.prod(shape) or (values.ndim != 1 and values.shape != tuple(shape)):
        raise Refusal(400, f"data of {name!r} has shape {list(values.shape)}; wanted {list(shape)}, or flat")
    with np.errstate(over="ignore"):
        return values.astype(np.float32).reshape(shape)


def _holds_booleans(data: Any) -> bool:
    kinds = set(map(type, data)) if isinstance(data, list) else {type(data)}
    return bool in kinds or (list in kinds and any(map(_holds_booleans, data)))


def check_finite(values: npt.NDArray[np.float32], name: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        Refusal: there is one.
    """
    if not np.isfinite(values).all():
        raise Refusal(400, f"input {name!r} holds NaN, infinity, or more than float32 can hold")


def elements_of_bytes(content: memoryview, count: int, name: str) -> list[bytes]:
    """Return the elements of a binary BYTES tensor, each behind its length in four bytes.

    Raises:
        Refusal: the lengths do not add up to the content, or are not `count`.
    """
    elements: list[bytes] = []
    at = 0
    while at < len(content):
        if len(elements) == count:
            raise Refusal(400, f"input {name!r} holds more than the {count} elements of its shape")
        length = int.from_bytes(content[at : at + _LENGTH_BYTES], "little")
        at += _LENGTH_BYTES
        if at + length > len(content):
            raise Refusal(400, f"input {name!r}: element {len(elements)} is longer than its tensor")
        elements.append(bytes(content[at : at + length]))
        at += length
    if len(elements) != count:
        raise Refusal(400, f"input {name!r} holds {len(elements)} elements; its shape has {count}")
    return elements


def bytes_of_elements(elements: Sequence[bytes]) -> bytes:
    """Return a binary BYTES tensor: each element behind its length in four bytes, little-endian."""
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in elements)
