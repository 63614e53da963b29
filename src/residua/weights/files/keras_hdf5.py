"""Read the insides of Keras files through h5py alone; `weights.files.keras_file` runs this in a process of its own.

A legacy file has a group for each layer, with the names of its variables in an attribute. Keras 3's `.weights.h5`,
alone or inside a `.keras` archive, names groups by class and order: `layers/conv2d_3/vars/0`. The layer's own name
stands in an attribute (newer versions), in the archive's config.json, or nowhere.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from residua._base.words import some
from residua.weights.files.format_error import FormatError

Array = NDArray[Any]

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_VARIABLES = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
# Weights hardly shrink when they are compressed: whatever claims to hold far more than its file is no weights.
_LARGEST_EXPANSION = 8
_DEEPEST = 12  # groups in groups: Keras nests a few
_LAYER = re.compile(r"((?:(?:layers|_layer_checkpoint_dependencies)/[^/]+/)+)vars/(\d{1,6})")
_BASE_MEMORY = 4 << 30  # bytes: Python, numpy and HDF5 before they read anything


def read(path: Path) -> dict[str, Array]:
    """Return the weights; see `residua.weights.files.keras_file.read_layers`.

    Raises:
        FormatError: a file that is damaged, hostile or none of Keras's.
        OSError: a file that cannot be read.
    """
    try:
        with path.open("rb") as stream:
            if zipfile.is_zipfile(path):
                return _read_archive(stream)
            return _read_hdf5(stream, path.stat().st_size, {})
    # What h5py raises on a damaged file depends on the byte.
    except (
        *(OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, IndexError, EOFError, OverflowError),
        *(MemoryError, NotImplementedError, RecursionError, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise FormatError((str(error).strip() or type(error).__name__).splitlines()[0][:200]) from error


def _read_archive(stream: BinaryIO) -> dict[str, Array]:
    size = stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream) as archive:
        # Members are read by these two names into memory; no name in the archive ever becomes a path.
        config = json.loads(_member(archive, _CONFIG, size))
        weights = _member(archive, _WEIGHTS, size)
    names = dict(_names(config, "layers"))
    return _read_hdf5(io.BytesIO(weights), len(weights), names)


def _member(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    if name not in archive.namelist():
        raise FormatError(f"the archive holds {some(archive.namelist(), 5) or 'nothing'}, and no {name}")
    claimed = archive.getinfo(name).file_size
    if claimed > _LARGEST_EXPANSION * size:
        raise FormatError(f"{name} claims {claimed} bytes in an archive of {size}")
    with archive.open(name) as member:
        content = member.read(claimed + 1)
    if len(content) != claimed:
        raise FormatError(f"{name} is not as long as it claims")
    return content


def _names(config: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield (group, layer's name) of a model's configuration: groups count the layers of each class."""
    used: dict[str, int] = {}
    for layer in config["config"]["layers"]:
        kind = _snake_case(layer["class_name"])
        used[kind] = count = used.get(kind, -1) + 1
        group = f"{prefix}/{kind}_{count}" if count else f"{prefix}/{kind}"
        yield group, str(layer["config"]["name"])
        if isinstance(layer["config"].get("layers"), list):
            yield from _names(layer, f"{group}/layers")


def _snake_case(name: str) -> str:
    split = re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", re.sub(r"\W", "", str(name)))
    return split.lower()


def _read_hdf5(stream: BinaryIO, size: int, names: Mapping[str, str]) -> dict[str, Array]:
    import h5py

    with h5py.File(stream, "r") as file:
        # All of the file, so that no link that a name could lead through goes unseen.
        datasets = dict(_datasets(file, "", set()))
        claimed = sum(data.size * data.dtype.itemsize for data in datasets.values())
        if claimed > _LARGEST_EXPANSION * size:
            raise FormatError(f"its tensors claim {claimed} bytes in a file of {size}")
        root = file.get("model_weights", file)
        legacy = "layer_names" in root.attrs or "layer_names0" in root.attrs
        layers = _legacy(root, datasets, size) if legacy else _grouped(datasets, names)
        arrays: dict[str, Array] = {}
        for layer, variable, data in layers:
            if f"{layer}/{variable}" in arrays:
                raise FormatError(f"two layers are named {layer}")
            arrays[f"{layer}/{variable}"] = _values(data)
        return arrays


def _datasets(group: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield (path, data set) below a group, each object once; nothing that lives outside the file."""
    import h5py

    address = h5py.h5o.get_info(group.id).addr
    if address in seen or prefix.count("/") > _DEEPEST:
        raise FormatError(f"its groups hold each other, at {prefix!r}")
    seen.add(address)
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise FormatError(f"{prefix}{key} is a link to another place; nothing was followed")
        entry = group[key]
        # Keras on Windows has joined with backslashes.
        path = prefix + key.replace("\\", "/")
        if isinstance(entry, h5py.Group):
            yield from _datasets(entry, f"{path}/", seen)
        elif isinstance(entry, h5py.Dataset):
            if entry.external or entry.is_virtual:
                raise FormatError(f"{path} lives in other files; nothing was followed")
            yield path, entry


def _legacy(root: Any, datasets: Mapping[str, Any], size: int) -> Iterator[tuple[str, str, Any]]:
    for layer in _listed(root, "layer_names", size):
        paths = _listed(root[layer], "weight_names", size)
        stored = [datasets[f"{root.name}/{layer}/{path}".strip("/")] for path in paths]
        ends = [path.split(":")[0].split("/") for path in paths]
        known = all(len(end) > 1 and end[-1] in _VARIABLES for end in ends)
        if known and len({tuple(end[:-1]) for end in ends}) > 1:
            # A model within the model: its layers' variables stand in one group.
            yield from ((end[-2], end[-1], data) for end, data in zip(ends, stored, strict=True))
        else:
            variables = [end[-1] for end in ends] if known else _by_place(stored)
            yield from ((layer, variable, data) for variable, data in zip(variables, stored, strict=True))


def _grouped(datasets: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    groups: dict[str, dict[int, Any]] = {}
    for path, data in datasets.items():
        match = _LAYER.fullmatch(path)
        if match:
            group = match[1].rstrip("/").replace("_layer_checkpoint_dependencies/", "layers/")
            groups.setdefault(group, {})[int(match[2])] = data
    for group, variables in groups.items():
        stored = [variables[number] for number in sorted(variables)]
        stated = stored[0].parent.attrs.get("name")
        name = stated if isinstance(stated, str) else names.get(group, group)
        yield from ((name, variable, data) for variable, data in zip(_by_place(stored), stored, strict=True))


def _by_place(stored: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of a layer's variables in the order in which Keras has always written them."""
    kernel = bool(stored) and stored[0].ndim > 1
    # Three are a normalisation without gamma (scale=False).
    known = _VARIABLES[:2] if kernel else _VARIABLES[2 if len(stored) != 3 else 3 :]
    return (*known[: len(stored)], *(str(index) for index in range(len(known), len(stored))))


def _listed(group: Any, name: str, size: int) -> list[str]:
    """Return an attribute that lists names; a long list is split over `name`0, `name`1, …"""
    keys = [name] if name in group.attrs else []
    while not keys or keys[-1] != name:
        key = f"{name}{len(keys)}"
        if key not in group.attrs:
            break
        keys.append(key)
    names: list[str] = []
    for key in keys:
        stored = group.attrs.get_id(key)
        if math.prod(stored.shape) * stored.dtype.itemsize > size:
            raise FormatError(f"the list {key} claims more bytes than the file has")
        names += [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in group.attrs[key]]
    return names


def _values(data: Any) -> Array:
    if data.dtype.kind == "V" and data.dtype.itemsize == 2 and data.attrs.get("dtype") == "bfloat16":
        bits: Array = data[()].view("<u2").astype("<u4") << 16
        return bits.view("<f4")
    if data.dtype.kind not in "fiu":
        raise FormatError(f"{data.name} holds {data.dtype}, no numbers")
    values: Array = np.asarray(data[()])
    return values.astype(np.float32) if data.dtype.kind == "f" else values


def main(path: str, target: str) -> None:
    """Read `path`, write the values to `target` (.npz, in order), and print their names, or the error, as JSON."""
    # Whatever a header claims, memory ends somewhere; not every system can say so.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        most = _BASE_MEMORY + 2 * _LARGEST_EXPANSION * os.path.getsize(path)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        arrays = read(Path(path))
    except FormatError as error:
        print(json.dumps({"error": str(error)}))
        return
    np.savez(target, *arrays.values())
    print(json.dumps({"names": list(arrays)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
