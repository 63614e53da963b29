"""TensorFlow's checkpoint files made by hand, to be damaged or made hostile; what TensorFlow itself writes is in
tests/peers/test_tf_writers.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from residua.weights.files.crc32c import crc32c, masked

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
FLOAT, INT64 = 1, 9


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a record: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed32(number: int, value: int) -> bytes:
    return varint(number << 3 | 5) + value.to_bytes(4, "little")


def shape(*sides: int) -> bytes:
    return b"".join(field(2, field(1, side)) for side in sides)


def block(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Entries with shared prefixes, and one restart."""
    out, last = bytearray(), b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return bytes(out) + bytes(4) + (1).to_bytes(4, "little")


def stored(content: bytes, kind: int = 0) -> bytes:
    """A block with its kind and its checksum."""
    content += bytes([kind])
    return content + masked(crc32c(content)).to_bytes(4, "little")


def table(blocks: Sequence[Sequence[tuple[bytes, bytes]]], compress: bool = False) -> bytes:
    """A whole table."""
    out, index = bytearray(), []
    for entries in blocks:
        content = block(entries)
        content = snappy(content) if compress else content
        index.append((entries[-1][0], varint(len(out)) + varint(len(content))))
        out += stored(content, 1 if compress else 0)
    return finished(out, index)


def finished(out: bytes | bytearray, index: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Blocks with what follows them: the empty list of other blocks, the index, the footer."""
    other = varint(len(out)) + varint(len(block([])))
    out = bytes(out) + stored(block([]))
    content = block(index)
    handles = other + varint(len(out)) + varint(len(content))
    return out + stored(content) + handles.ljust(40, b"\0") + MAGIC


def snappy(data: bytes) -> bytes:
    """Compress: a copy where the last four bytes have been seen in the last 60,000, literals elsewhere."""
    out, literal, seen, place = bytearray(varint(len(data))), bytearray(), {}, 0

    def flush() -> None:
        while literal:
            piece = bytes(literal[:65536])
            del literal[:65536]
            size = len(piece) - 1
            out.extend(bytes([size << 2]) if size < 60 else bytes([61 << 2]) + size.to_bytes(2, "little"))
            out.extend(piece)

    while place < len(data):
        start = seen.get(data[place : place + 4])
        seen[data[place : place + 4]] = place
        length = 0
        if start is not None and place - start < 60000:
            while length < 64 and place + length < len(data) and data[start + length] == data[place + length]:
                length += 1
        if length < 4:
            literal.append(data[place])
            place += 1
            continue
        flush()
        offset = place - start
        if length < 12 and offset < 2048:
            out.extend([1 | length - 4 << 2 | offset >> 8 << 5, offset & 255])
        else:
            out.extend(bytes([2 | length - 1 << 2]) + offset.to_bytes(2, "little"))
        place += length
    flush()
    return bytes(out)


def v1(values: dict[str, np.ndarray], compress: bool = False) -> bytes:
    """A V1 checkpoint of float32 tensors, a block for each."""
    described = b""
    for name, array in values.items():
        kind = field(1, name.encode()) + field(2, shape(*array.shape)) + field(3, FLOAT)
        described += field(1, kind + field(4, b""))
    blocks = [[(b"", field(1, described))]]
    for name, array in sorted(values.items()):
        proto = field(5, array.astype("<f4").tobytes())
        saved = field(1, name.encode()) + field(2, b"") + field(3, proto)
        blocks.append([(b"\0" + name.encode(), field(2, saved))])
    return table(blocks, compress)


def v2(prefix: Path, values: dict[str, np.ndarray], shards: int = 1, **edits: int) -> None:
    """A V2 checkpoint of float32 tensors, all in the first shard; `edits` change fields of every entry."""
    data, entries = bytearray(), [(b"", field(1, shards) + field(3, field(1, 1)))]
    for name, array in sorted(values.items()):
        content = array.astype("<f4").tobytes()
        fields = {"shard": 0, "offset": len(data), "size": len(content)} | edits
        entry = field(1, FLOAT) + field(2, shape(*array.shape)) + field(3, fields["shard"])
        entry += field(4, fields["offset"]) + field(5, fields["size"]) + fixed32(6, masked(crc32c(content)))
        entries.append((name.encode(), entry))
        data += content
    prefix.with_name(prefix.name + ".index").write_bytes(table([entries]))
    prefix.with_name(f"{prefix.name}.data-00000-of-{shards:05d}").write_bytes(data)
