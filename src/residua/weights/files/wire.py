"""The wire format of protocol buffers, as far as checkpoints use it (protobuf.dev, "Encoding")."""

from __future__ import annotations

from collections.abc import Iterator

from residua.weights.files.format_error import FormatError

Value = int | memoryview
_LARGEST_VARINT = 10  # bytes: 64 bits


def varint(data: memoryview, offset: int) -> tuple[int, int]:
    """Return (the unsigned number at `offset`, the offset behind it).

    Raises:
        FormatError: it ends too early, or is longer than 64 bits.
    """
    value = shift = 0
    for count in range(_LARGEST_VARINT):
        if offset + count >= len(data):
            raise FormatError("a number runs over the end of its record")
        byte = data[offset + count]
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 64:
                break
            return value, offset + count + 1
        shift += 7
    raise FormatError("a number of more than 64 bits")


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield (field number, value) in order: a number for varints, the bytes for all other kinds.

    Raises:
        FormatError: a field that runs over the end, or of a kind that no writer uses any more.
    """
    offset = 0
    while offset < len(message):
        tag, offset = varint(message, offset)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, offset = varint(message, offset)
            yield number, value
            continue
        if kind == 2:
            size, offset = varint(message, offset)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise FormatError(f"a field of kind {kind} in a record")
        if size > len(message) - offset:
            raise FormatError("a field runs over the end of its record")
        yield number, message[offset : offset + size]
        offset += size


def number(value: Value) -> int:
    """Return a varint field's value as the signed 64-bit number that it stands for."""
    if not isinstance(value, int):
        raise FormatError("a record has bytes where a number belongs")
    return value - (1 << 64) if value >> 63 else value


def content(value: Value) -> memoryview:
    """Return a field's bytes."""
    if isinstance(value, int):
        raise FormatError("a record has a number where bytes belong")
    return value


def text(value: Value) -> str:
    """Return a field's text."""
    try:
        return str(content(value), "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError("a name that is no text") from error
