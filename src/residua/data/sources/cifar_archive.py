"""The inside of a CIFAR archive, binary or pickled, read in place and within the memory of the official one."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import InputError
from residua._base.web.download import RemoteFile
from residua._base.words import counted
from residua.data.dataset import Split
from residua.data.decode import Pixels
from residua.data.image_source import ArrayImages
from residua.data.sources.array_pickle import unpickle
from residua.data.splitting import Labels

_PIXELS = 3 * 32 * 32  # bytes of an image
_NAMES_BYTES = 100_000  # a hundred times what the names of 100 classes take


@dataclass(frozen=True)
class Layout:
    """Where images and names stand in an archive.

    Attributes:
        archive: the file.
        parts: members of "train" and "test".
        names: the member with the class names.
        member_bytes: a bound on the size of a member; the official ones are a little smaller.
        pickled: members are pickles; else records of label bytes and 3,072 pixel bytes.
        labels: the key of the labels in a pickle, and of the names in the pickled `names`.
        label_bytes: bytes before the pixels of a binary record; the last is the label used.
    """

    archive: RemoteFile
    parts: Mapping[str, tuple[str, ...]]
    names: str
    member_bytes: int
    pickled: bool
    labels: tuple[str, str] = ("labels", "label_names")
    label_bytes: int = 1


def read_archive(path: Path, layout: Layout) -> tuple[tuple[str, ...], dict[str, Split]]:
    """Read class names and the splits "train" and "test"; nothing is unpacked to disk.

    Raises:
        InputError: the archive is damaged, a member is missing, too large or misshapen, or a pickle asks for more
            than arrays.
    """
    try:
        return _read(path, layout)
    except InputError:
        raise
    except Exception as error:  # A damaged archive raises whatever its bytes happen to spell.
        raise _unusable(path, str(error) or type(error).__name__) from None


def _read(path: Path, layout: Layout) -> tuple[tuple[str, ...], dict[str, Split]]:
    contents = _members(path, layout)
    if layout.pickled:
        names = tuple(_text(each) for each in _value(_unpickled(contents[layout.names], path), layout.labels[1], path))
    else:
        names = tuple(contents[layout.names].decode().split())
    splits = {}
    for split, members in layout.parts.items():
        parts = [_part(contents.pop(member), layout, path) for member in members]
        labels = np.concatenate([labels for labels, _ in parts])
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
            raise _unusable(
                path, f"labels from {labels.min()} to {labels.max()} for {counted(len(names), 'class', 'classes')}"
            )
        splits[split] = Split(split, labels, ArrayImages(np.concatenate([pixels for _, pixels in parts])))
    return names, splits


def _members(path: Path, layout: Layout) -> dict[str, bytes]:
    limits = {member: layout.member_bytes for members in layout.parts.values() for member in members}
    limits[layout.names] = _NAMES_BYTES
    contents: dict[str, bytes] = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.name not in limits or not member.isfile():
                continue
            stream, limit = archive.extractfile(member), limits[member.name]
            content = b"" if stream is None or member.size > limit else stream.read(limit + 1)
            if max(len(content), member.size) > limit:
                raise _unusable(path, f"its {member.name} has {member.size:,} bytes, more than {limit:,}")
            contents[member.name] = content
    if missing := limits.keys() - contents.keys():
        raise _unusable(path, f"it lacks {', '.join(sorted(missing))}")
    return contents


def _part(data: bytes, layout: Layout, path: Path) -> tuple[Labels, Pixels]:
    if layout.pickled:
        record = _unpickled(data, path)
        values, labels = _value(record, "data", path), _value(record, layout.labels[0], path)
        if not (isinstance(values, np.ndarray) and values.dtype == np.uint8 and values.shape == (len(labels), _PIXELS)):
            raise _unusable(path, "pixels of a wrong shape or type")
        if not all(type(label) is int for label in labels):
            raise _unusable(path, "labels that are no whole numbers")
        return np.asarray(labels, np.int64), _interleave(values)
    step = layout.label_bytes + _PIXELS
    if len(data) % step:
        raise _unusable(path, f"{len(data)} bytes are no whole number of records of {step}")
    records = np.frombuffer(data, np.uint8).reshape(-1, step)
    return records[:, layout.label_bytes - 1].astype(np.int64), _interleave(records[:, layout.label_bytes :])


def _interleave(planes: Pixels) -> Pixels:
    """Return (N, 3072), all red, then green, then blue, as (N, 32, 32, 3)."""
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _unpickled(data: bytes, path: Path) -> Any:
    return unpickle(data, str(path))


def _value(record: Any, key: str, path: Path) -> Any:
    if isinstance(record, dict):
        for each in (key, key.encode()):
            if each in record:
                return record[each]
    raise _unusable(path, f"a pickle without {key!r}")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _unusable(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: {reason}", "an official CIFAR archive", "Delete it, and it is downloaded again")
