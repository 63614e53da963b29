"""Decompression of a raw Snappy block (github.com/google/snappy, format_description.txt)."""

from __future__ import annotations

from residua.weights.files.format_error import FormatError
from residua.weights.files.wire import varint

_LARGEST_EXPANSION = 64  # a copy of 64 bytes takes at least two


def decompress(data: memoryview) -> bytes:
    """Return what `data` was compressed from.

    Raises:
        FormatError: a length or an offset that cannot be; nothing larger than 64 times `data` is ever made.
    """
    length, position = varint(data, 0)
    if length > _LARGEST_EXPANSION * len(data):
        raise FormatError(f"a compressed block of {len(data)} bytes claims to hold {length}")
    out = bytearray()
    while position < len(data):
        tag = data[position]
        position += 1
        kind, size = tag & 3, (tag >> 2) + 1
        if kind == 0:
            if size > 60:
                width = size - 60
                size = int.from_bytes(_take(data, position, width), "little") + 1
                position += width
            out += _take(data, position, size)
            position += size
        else:
            if kind == 1:
                size = ((tag >> 2) & 7) + 4
                offset = (tag >> 5 << 8) | _take(data, position, 1)[0]
                position += 1
            else:
                width = 2 if kind == 2 else 4
                offset = int.from_bytes(_take(data, position, width), "little")
                position += width
            if not 0 < offset <= len(out):
                raise FormatError(f"a compressed block copies from {offset} bytes before its byte {len(out)}")
            start = len(out) - offset
            # A copy may read what it writes: then the last `offset` bytes repeat.
            piece = out[start : start + size]
            out += (piece * (-(-size // len(piece))))[:size]
        if len(out) > length:
            break
    if len(out) != length:
        raise FormatError(f"a compressed block holds {len(out)} bytes or more and claims {length}")
    return bytes(out)


def _take(data: memoryview, position: int, size: int) -> memoryview:
    if position + size > len(data):
        raise FormatError("a compressed block ends in the middle of an element")
    return data[position : position + size]
