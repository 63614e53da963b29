"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from the official archives, binary or pickled, read in place."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.console import BYTES, Progress, progress_bar
from residua._base.download import RemoteFile, fetch, verify
from residua._base.errors import InputError
from residua._base.places import home_cache
from residua.data.dataset import Dataset, Split, hash_of_pixels
from residua.data.decode import Pixels
from residua.data.image_source import ArrayImages
from residua.data.splitting import Labels

_HOST = "https://www.cs.toronto.edu/~kriz/"
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """Where images and names stand in an archive.

    Attributes:
        archive: the file.
        parts: members of "train" and "test".
        names: the member with the class names.
        pickled: members are pickles; else records of label bytes and 3,072 pixel bytes.
        labels: the key of the labels in a pickle, and of the names in the pickled `names`.
        label_bytes: bytes before the pixels of a binary record; the last is the label used.
    """

    archive: RemoteFile
    parts: Mapping[str, tuple[str, ...]]
    names: str
    pickled: bool
    labels: tuple[str, str] = ("labels", "label_names")
    label_bytes: int = 1


def _archive(name: str, sha256: str, size: int) -> RemoteFile:
    remedy = "Repeat the command to continue (--data-dir names the folder)"
    return RemoteFile(_HOST + name, sha256, size, remedy=remedy)


def _ten(folder: str, suffix: str, names: str) -> dict[str, Any]:
    train = tuple(f"{folder}/data_batch_{number}{suffix}" for number in range(1, 6))
    return {
        "parts": {"train": train, "test": (f"{folder}/test_batch{suffix}",)},
        "names": f"{folder}/{names}",
    }


def _hundred(folder: str, suffix: str, names: str) -> dict[str, Any]:
    return {
        "parts": {"train": (f"{folder}/train{suffix}",), "test": (f"{folder}/test{suffix}",)},
        "names": f"{folder}/{names}",
    }


LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "cifar10": (
        Layout(
            _archive(
                "cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                170_052_171,
            ),
            **_ten("cifar-10-batches-bin", ".bin", "batches.meta.txt"),
            pickled=False,
        ),
        Layout(
            _archive(
                "cifar-10-python.tar.gz",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                170_498_071,
            ),
            **_ten("cifar-10-batches-py", "", "batches.meta"),
            pickled=True,
        ),
    ),
    "cifar100": (
        Layout(
            _archive(
                "cifar-100-binary.tar.gz",
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                168_513_733,
            ),
            **_hundred("cifar-100-binary", ".bin", "fine_label_names.txt"),
            pickled=False,
            label_bytes=2,
        ),
        Layout(
            _archive(
                "cifar-100-python.tar.gz",
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                169_001_437,
            ),
            **_hundred("cifar-100-python", "", "meta"),
            pickled=True,
            labels=("fine_labels", "fine_label_names"),
        ),
    ),
}
"""The first layout of each is the one that is downloaded when none is found."""


def data_folder(given: Path | None = None) -> Path:
    """Return `given`, else $RESIDUA_DATA, else ~/.cache/residua/data."""
    named = os.environ.get("RESIDUA_DATA")
    return given or (Path(named) if named else home_cache() / "data")


def open_cifar(name: str, data_dir: Path | None = None, progress: Progress | None = None) -> Dataset:
    """Open "cifar10" or "cifar100": an archive in `data_dir`, or else a download to it.

    Raises:
        InputError: the archive is not the official one, or it is neither here nor to be had.
    """
    folder = data_folder(data_dir)
    layouts = LAYOUTS[name]
    layout = next((each for each in layouts if (folder / each.archive.file_name).is_file()), None)
    if layout is None:
        layout = layouts[0]
        with nullcontext(progress) if progress else progress_bar(layout.archive.file_name, BYTES) as show:
            path = fetch(layout.archive, folder, show)
    else:
        path = folder / layout.archive.file_name
        verify(path, layout.archive)
    classes, splits = read_archive(path, layout)
    notes = (f"the official {layout.archive.file_name}, SHA-256 verified",)
    return Dataset(name, classes, splits, hash_of_pixels(classes, splits), notes, location=str(folder.resolve()))


def read_archive(path: Path, layout: Layout) -> tuple[tuple[str, ...], dict[str, Split]]:
    """Read class names and the splits "train" and "test"; nothing is unpacked to disk.

    Raises:
        InputError: a member is missing or misshapen, or a pickle asks for more than arrays.
    """
    wanted = {member for members in layout.parts.values() for member in members} | {layout.names}
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name in wanted and member.isfile():
                    stream = archive.extractfile(member)
                    contents[member.name] = stream.read() if stream is not None else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _unusable(path, str(error)) from None
    if wanted - contents.keys():
        raise _unusable(path, f"it lacks {', '.join(sorted(wanted - contents.keys()))}")
    if layout.pickled:
        names = tuple(_text(each) for each in _value(unpickle(contents[layout.names], path), layout.labels[1], path))
    else:
        names = tuple(contents[layout.names].decode().split())
    splits = {}
    for split, members in layout.parts.items():
        parts = [_part(contents.pop(member), layout, path) for member in members]
        labels = np.concatenate([labels for labels, _ in parts])
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
            raise _unusable(path, f"labels from {labels.min()} to {labels.max()} for {len(names)} classes")
        splits[split] = Split(split, labels, ArrayImages(np.concatenate([pixels for _, pixels in parts])))
    return names, splits


def unpickle(data: bytes, path: Path | str = "the pickle") -> Any:
    """Load a pickle of plain values and NumPy arrays.

    Raises:
        InputError: it is damaged, or names anything but what arrays are made of.
    """
    try:
        return _Arrays(io.BytesIO(data), encoding="bytes").load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to spell
        raise _unusable(path, f"damaged pickle: {error}") from None


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _reconstruct
        if module == "numpy" and name in ("ndarray", "dtype"):
            return {"ndarray": np.ndarray, "dtype": _dtype}[name]
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise InputError(
            f"a pickle that asks for {module}.{name}",
            "a pickle of plain values and arrays",
            "Do not trust this file",
        )


def _reconstruct(kind: Any, shape: Any, code: Any) -> Any:
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise InputError(f"a pickled array of kind {kind!r}", "a plain array")
    return np.ndarray(shape, code)


def _dtype(code: Any, *_: Any) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(_text(code))
    if kind.hasobject:
        raise InputError(f"a pickled array of type {code!r}", "numbers")
    return kind


def _encode(text: str, codec: str) -> bytes:
    if codec not in ("latin1", "latin-1"):
        raise InputError(f"a pickle that asks for the codec {codec!r}", "latin1")
    return text.encode("latin-1")


def _part(data: bytes, layout: Layout, path: Path) -> tuple[Labels, Pixels]:
    if layout.pickled:
        record = unpickle(data, path)
        values, labels = _value(record, "data", path), _value(record, layout.labels[0], path)
        if not (isinstance(values, np.ndarray) and values.dtype == np.uint8 and values.shape == (len(labels), _PIXELS)):
            raise _unusable(path, "pixels of another shape or type")
        return np.asarray(labels, np.int64), _interleave(values)
    step = layout.label_bytes + _PIXELS
    if len(data) % step:
        raise _unusable(path, f"{len(data)} bytes are no whole number of records of {step}")
    records = np.frombuffer(data, np.uint8).reshape(-1, step)
    return records[:, layout.label_bytes - 1].astype(np.int64), _interleave(records[:, layout.label_bytes :])


def _interleave(planes: Pixels) -> Pixels:
    """Return (N, 3072), all red, then green, then blue, as (N, 32, 32, 3)."""
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _value(record: Any, key: str, path: Path) -> Any:
    if isinstance(record, dict):
        for each in (key, key.encode()):
            if each in record:
                return record[each]
    raise _unusable(path, f"a pickle without {key!r}")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _unusable(path: Path | str, reason: str) -> InputError:
    return InputError(f"{path}: {reason}", "an official CIFAR archive", "Delete it and let it be downloaded again")
