"""The sorted table of LevelDB, which TensorFlow keeps its checkpoints in (leveldb, doc/table_format.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from residua.weights.files import snappy
from residua.weights.files.crc32c import crc32c, masked
from residua.weights.files.format_error import FormatError
from residua.weights.files.wire import varint

_FOOTER, _TRAILER = 48, 5  # bytes, by LevelDB's format (doc/table_format.md)
_MAGIC = 0xDB4775248B80FB57  # LevelDB's, at the end of each table
_LONGEST_KEY = 4096  # names of tensors; keys share prefixes, so a hostile file could make them grow without end


def is_table(stream: BinaryIO, size: int) -> bool:
    """Return whether a file of `size` bytes ends like a table of LevelDB."""
    if size < _FOOTER:
        return False
    stream.seek(size - 8)
    return int.from_bytes(stream.read(8), "little") == _MAGIC


def entries(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """Yield (key, value) in the order of the keys, with one block in memory at a time.

    Raises:
        FormatError: anything that the checksums, the lengths or the order of blocks and keys do not allow.
    """
    if not is_table(stream, size):
        raise FormatError(f"its last bytes are not those of a table ({size} bytes)")
    stream.seek(size - _FOOTER)
    footer = memoryview(stream.read(_FOOTER))
    _, _, position = _handle(footer, 0)
    offset, length, _ = _handle(footer, position)
    end, last = 0, None
    for _, handle in _entries(_block(stream, offset, length, size)):
        start, length, _ = _handle(handle, 0)
        # Blocks that point back could be read for ever.
        if start < end:
            raise FormatError("its blocks overlap")
        end = start + length + _TRAILER
        for key, value in _entries(_block(stream, start, length, size)):
            if last is not None and key <= last:
                raise FormatError("its keys are not in order")
            last = key
            yield key, value


def _handle(data: memoryview, position: int) -> tuple[int, int, int]:
    offset, position = varint(data, position)
    length, position = varint(data, position)
    return offset, length, position


def _block(stream: BinaryIO, offset: int, length: int, size: int) -> memoryview:
    if offset + length + _TRAILER > size - _FOOTER:
        raise FormatError(f"a block at byte {offset} of {length} bytes in a file of {size}")
    stream.seek(offset)
    stored = memoryview(stream.read(length + _TRAILER))
    if len(stored) != length + _TRAILER:
        raise FormatError("it became shorter while it was read")
    if masked(crc32c(stored[: length + 1])) != int.from_bytes(stored[length + 1 :], "little"):
        raise FormatError(f"the block at byte {offset} does not give its checksum")
    kind = stored[length]
    if kind == 0:
        return stored[:length]
    if kind == 1:
        return memoryview(snappy.decompress(stored[:length]))
    raise FormatError(f"a block is compressed in way {kind}; only Snappy is known")


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    if len(block) < 4:
        raise FormatError("a block without its list of restarts")
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise FormatError(f"a block of {len(block)} bytes with {restarts} restarts")
    entry, key, position = block[:end], b"", 0
    while position < end:
        shared, position = varint(entry, position)
        unshared, position = varint(entry, position)
        length, position = varint(entry, position)
        if shared > len(key) or unshared + length > end - position or shared + unshared > _LONGEST_KEY:
            raise FormatError("an entry runs over its block")
        key = key[:shared] + bytes(entry[position : position + unshared])
        position += unshared
        yield key, entry[position : position + length]
        position += length
