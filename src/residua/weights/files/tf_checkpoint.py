"""TensorFlow checkpoints without TensorFlow, in both forms that `tf.train.Saver` has written.

V2 (2016 on): `PREFIX.index`, a table of tensor descriptions, and `PREFIX.data-00000-of-00001` with their bytes.
V1: one table, or several `PREFIX-00000-of-00002`, with descriptions and values. Records and field numbers are those of
TensorFlow's tensor_bundle.proto, saved_tensor_slice.proto, tensor.proto and types.proto.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from residua._base.errors import InputError
from residua._base.words import some
from residua.weights.files import table
from residua.weights.files.crc32c import crc32c, masked
from residua.weights.files.format_error import FormatError
from residua.weights.files.wire import content, fields, number, text, varint

Array = NDArray[Any]

_BFLOAT16 = 14  # DT_BFLOAT16 of TensorFlow's types.proto
# TensorFlow's numbers of the types that weights and counters have; others (text, resources) are left out.
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", _BFLOAT16: "<u2", 19: "<f2"}
# In a V1 file: field of TensorProto that holds the values of a type, and how each is stored ("" is a varint).
_VALUES = {1: (5, "<f4"), 2: (6, "<f8"), 3: (7, ""), 4: (7, ""), 5: (7, ""), 6: (7, ""), 9: (10, ""), 19: (13, "")}
_MOST_DIMENSIONS = 8  # a kernel has four
_SHARD = re.compile(r"(?P<prefix>.+?)(?P<data>\.data)?-(?P<shard>\d{5})-of-(?P<shards>\d{5})")
_WHOLE = "a whole TensorFlow checkpoint"
_REMEDY = "Fetch it again; keep all files of a checkpoint in one folder"


def read_checkpoint(path: Path | str) -> dict[str, Array]:
    """Read every numeric variable of a checkpoint, each checked against its checksum and its shape.

    Args:
        path: a V1 file, the prefix of a V2 checkpoint, or any of the files that begin with it (`.index`, `.data-…`,
            `.meta`).

    Returns:
        Name of the variable -> its values, in the order of the names. bfloat16 comes as float32.

    Raises:
        InputError: no checkpoint there, a shard is missing, or a byte is not what was written.
    """
    source = Path(path)
    prefix = _prefix(source)
    index = prefix.with_name(prefix.name + ".index")
    if index.is_file():
        return _guarded(index, lambda stream, size: _read_v2(prefix, stream, size))
    files = checkpoint_files(source)
    if not files:
        near = sorted(entry.name for entry in source.parent.glob("*.index")) if source.parent.is_dir() else []
        raise InputError(
            f"{source} is no checkpoint: neither {index.name} nor {prefix.name} stands in its folder",
            "the path of a V1 checkpoint's file, or what a V2 checkpoint's files begin with",
            f"There are {some(near)}" if near else "Check the path; unpack an archive first",
        )
    _refuse_missing_shards(prefix, files)
    tensors: dict[str, Array] = {}
    for file in files:
        for name, value in _guarded(file, _read_v1).items():
            if name in tensors:
                raise InputError(f"{file} holds {name}, which another shard holds too", _WHOLE, _REMEDY)
            tensors[name] = value
    return dict(sorted(tensors.items()))


def checkpoint_files(path: Path) -> list[Path]:
    """Return the files of a checkpoint that hold weights, sorted, by whatever name it is given; [] for none."""
    prefix = _prefix(path)
    index = prefix.with_name(prefix.name + ".index")
    if index.is_file():
        return sorted(
            [index, *(each for each in path.parent.iterdir() if each.name.startswith(f"{prefix.name}.data-"))]
        )
    return [prefix] if prefix.is_file() else sorted(_siblings(prefix))


def _prefix(path: Path) -> Path:
    shard = _SHARD.fullmatch(path.name)
    name = shard["prefix"] if shard else path.name
    for suffix in (".index", ".meta"):
        name = name.removesuffix(suffix) if not shard else name
    return path.with_name(name)


def _siblings(prefix: Path) -> list[Path]:
    if not prefix.parent.is_dir():
        return []
    shards = ((each, _SHARD.fullmatch(each.name)) for each in prefix.parent.iterdir())
    return [each for each, shard in shards if shard and not shard["data"] and each.name.startswith(f"{prefix.name}-")]


def _refuse_missing_shards(prefix: Path, files: list[Path]) -> None:
    shards = [_SHARD.fullmatch(file.name) for file in files if file != prefix]
    totals = {int(shard["shards"]) for shard in shards if shard}
    if totals and totals != {len(files)}:
        raise InputError(
            f"{prefix}: {len(files)} shards, which say that they are of {' or '.join(map(str, sorted(totals)))}",
            "every shard of one checkpoint",
            _REMEDY,
        )


def _guarded(path: Path, read: Callable[[BinaryIO, int], dict[str, Array]]) -> dict[str, Array]:
    """Run `read` on the open file; what goes wrong names the path."""
    try:
        with path.open("rb") as stream:
            return read(stream, os.fstat(stream.fileno()).st_size)
    except (ValueError, OverflowError, MemoryError) as error:  # FormatError is one; the others are numpy's
        raise InputError(f"{path} is damaged or no checkpoint: {error}", _WHOLE, _REMEDY) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}", "a readable file", _REMEDY) from error


class _Kind(NamedTuple):
    """A tensor's type number and its shape."""

    dtype: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def settled(self, values: Array) -> Array:
        """Return the values in the shape and type of the tensor."""
        if self.dtype == _BFLOAT16:
            values = (values.astype("<u4") << 16).view("<f4")
        return values.reshape(self.shape)


# --- V2: tensor_bundle.proto ---


@dataclass
class _Entry:
    """BundleEntryProto."""

    kind: _Kind
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    sliced: bool = False


def _read_v2(prefix: Path, stream: BinaryIO, size: int) -> dict[str, Array]:
    shards, known = 0, {}
    for key, value in table.entries(stream, size):
        if not key:
            shards = _header(value)
        elif key[0]:  # a slice's key begins with 0; the whole variable has an entry too
            known[_name(key)] = _entry(value)
    if not shards:
        raise FormatError("it has no header")
    sliced = [name for name, entry in known.items() if entry.sliced]
    if sliced:
        raise _sliced(sliced)
    arrays: dict[str, Array] = {}
    numeric = {name: entry for name, entry in known.items() if entry.kind.dtype in _TYPES}
    for shard in range(shards):
        entries = {name: entry for name, entry in numeric.items() if entry.shard == shard}
        if entries:
            path = prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}")
            arrays |= _guarded(path, lambda data, length, entries=entries: _read_shard(data, length, entries))  # type: ignore[misc]
    lost = [name for name in numeric if name not in arrays]
    if lost:
        raise FormatError(f"shards beyond the {shards} that there are hold {some(lost, 3)}")
    return {name: arrays[name] for name in numeric}


def _read_shard(stream: BinaryIO, size: int, entries: dict[str, _Entry]) -> dict[str, Array]:
    arrays, end = {}, 0
    ordered = sorted(entries.items(), key=lambda pair: (pair[1].offset, pair[1].size))
    for name, entry in ordered:
        wanted = entry.kind.size * np.dtype(_TYPES[entry.kind.dtype]).itemsize
        if entry.size != wanted:
            raise FormatError(f"{name} has {entry.size} bytes where its shape {entry.kind.shape} has {wanted}")
        # Tensors that share bytes could ask for any amount of memory.
        if entry.offset < end or entry.offset + entry.size > size:
            raise FormatError(f"{name} stands at bytes {entry.offset} to {entry.offset + entry.size} of {size}")
        end = entry.offset + entry.size
    for name, entry in ordered:
        stream.seek(entry.offset)
        data = stream.read(entry.size)
        if len(data) != entry.size or masked(crc32c(data)) != entry.checksum:
            raise FormatError(f"{name} does not give its checksum")
        values = np.frombuffer(bytearray(data), _TYPES[entry.kind.dtype])
        arrays[name] = entry.kind.settled(values)
    return arrays


def _header(message: memoryview) -> int:
    shards = 0
    for field, value in fields(message):
        if field == 1:
            shards = number(value)
        elif field == 2 and number(value):
            raise FormatError("its numbers are big-endian; only little-endian ones are read")
    if not 0 < shards < 100_000:
        raise FormatError(f"it claims {shards} shards")
    return shards


def _entry(message: memoryview) -> _Entry:
    dtype, entry = 0, _Entry(_Kind(0, ()))
    shape: tuple[int, ...] = ()
    for field, value in fields(message):
        if field == 1:
            dtype = number(value)
        elif field == 2:
            shape = _shape(content(value))
        elif field == 3:
            entry.shard = number(value)
        elif field == 4:
            entry.offset = number(value)
        elif field == 5:
            entry.size = number(value)
        elif field == 6:
            entry.checksum = int.from_bytes(content(value), "little")
        elif field == 7:
            entry.sliced = True
    entry.kind = _Kind(dtype, shape)
    if min(entry.shard, entry.offset, entry.size) < 0:
        raise FormatError("a tensor at a negative place")
    return entry


# --- V1: saved_tensor_slice.proto ---


def _read_v1(stream: BinaryIO, size: int) -> dict[str, Array]:
    kinds: dict[str, _Kind] = {}
    arrays: dict[str, Array] = {}
    for key, value in table.entries(stream, size):
        for field, part in fields(value):
            if field == 1 and not key:
                kinds = dict(_described(content(part)))
            elif field == 2:
                name, values = _saved(content(part), kinds)
                if name in arrays:
                    raise FormatError(f"{name} is stored twice")
                if values is not None:
                    arrays[name] = values
    lost = [name for name, kind in kinds.items() if kind.dtype in _VALUES and name not in arrays]
    if lost or not kinds:
        raise FormatError(f"it has no values for {some(lost, 3)}" if lost else "it describes no tensors")
    return arrays


def _described(message: memoryview) -> Iterator[tuple[str, _Kind]]:
    """Read a SavedTensorSliceMeta: yield (name, kind) of each tensor."""
    for field, value in fields(message):
        if field != 1:
            continue
        name, dtype = "", 0
        shape: tuple[int, ...] = ()
        slices = 0
        for inner, part in fields(content(value)):
            if inner == 1:
                name = text(part)
            elif inner == 2:
                shape = _shape(content(part))
            elif inner == 3:
                dtype = number(part)
            slices += inner == 4
        if slices > 1:
            raise _sliced([name])
        yield name, _Kind(dtype, shape)


def _saved(message: memoryview, kinds: dict[str, _Kind]) -> tuple[str, Array | None]:
    """Read a SavedSlice: return (name, values), or None for values that are no weights."""
    name, proto = "", memoryview(b"")
    for field, value in fields(message):
        if field == 1:
            name = text(value)
        elif field == 3:
            proto = content(value)
    if name not in kinds:
        raise FormatError(f"values of {name[:80]!r}, which it does not describe")
    kind = kinds[name]
    if kind.dtype not in _VALUES:
        return name, None
    wanted, stored = _VALUES[kind.dtype]
    parts = [value for field, value in fields(proto) if field == wanted]
    if stored:
        data = bytearray().join(content(part) for part in parts)
        if len(data) % np.dtype(stored).itemsize:
            raise FormatError(f"{name} has {len(data)} bytes, no whole number of values")
        values = np.frombuffer(data, stored)
    else:
        values = _whole_numbers(parts, kind)
    if values.size != kind.size:
        raise FormatError(f"{name} has {values.size} values where its shape {kind.shape} has {kind.size}")
    return name, kind.settled(values)


def _whole_numbers(parts: list[int | memoryview], kind: _Kind) -> Array:
    numbers: list[int] = []
    for part in parts:
        if isinstance(part, int):
            numbers.append(number(part))
            continue
        offset = 0
        while offset < len(part):
            value, offset = varint(part, offset)
            numbers.append(number(value))
    # Half-precision numbers are stored by their bits.
    stored = np.dtype("<u2" if kind.dtype == 19 else _TYPES[kind.dtype])
    limits = np.iinfo(stored)
    if not all(limits.min <= value <= limits.max for value in numbers):
        raise FormatError("a whole number that its type does not hold")
    return np.array(numbers, stored).view(_TYPES[kind.dtype])


def _shape(message: memoryview) -> tuple[int, ...]:
    """Read a TensorShapeProto: return its sides."""
    sides = []
    for field, value in fields(message):
        if field == 2:
            sides.append([0, *(number(part) for inner, part in fields(content(value)) if inner == 1)][-1])
    places = math.prod(side or 1 for side in sides)  # numpy refuses an empty array too, of more than 2^60
    if len(sides) > _MOST_DIMENSIONS or min(sides, default=1) < 0 or places > 1 << 60:
        raise FormatError(f"a tensor of shape {sides[:10]}")
    return tuple(sides)


def _sliced(names: list[str]) -> FormatError:
    return FormatError(f"it holds {some(names, 3)} in slices; save it again without a partitioner")


def _name(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise FormatError("a name that is no text") from error
