"""Int8 forms of networks, kept for the engines: `export` puts in what its gate let through.

An entry belongs to the values of the weights, the network, the size of its images, the runtime and the processor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from residua._base.cache import Cache
from residua._base.errors import Damaged, InputError
from residua._base.files import read_regular
from residua._base.json_file import parse_json
from residua.runtime.engines.names import EngineName
from residua.runtime.processor import processor

LIMIT_BYTES = 4 << 30
_FORMAT = 1  # part of every key
_LENGTH = 8  # of the header of a safetensors file, bytes


class _Header(TypedDict):
    sentence: str
    decided: str
    sha256: str


class _Metadata(TypedDict):
    int8: str


class _File(TypedDict):
    __metadata__: _Metadata


class Int8Form(TypedDict):
    """A kept form.

    Attributes:
        files: content by name, as the runtime's own format has them.
        sentence: the gate's, for people.
        decided: "passes", or "undecided" where the images were too few.
    """

    files: dict[str, bytes]
    sentence: str
    decided: str


def keep_int8(model: nn.Module, engine: EngineName, size: tuple[int, int, int], quantised: Int8Form) -> None:
    """Keep the int8 form of a network for images of `size`, (C, H, W); where no cache can be, nothing is kept."""
    files = quantised["files"]
    tensors = {name: torch.frombuffer(bytearray(content), dtype=torch.uint8) for name, content in files.items()}
    header: _Header = {
        "sentence": quantised["sentence"],
        "decided": quantised["decided"],
        "sha256": _digest(files),
    }
    metadata = {"int8": json.dumps(header)}

    def write(path: Path) -> None:
        path.write_bytes(safetensors.torch.save(tensors, metadata=metadata))

    _cache().write(_key(model, engine, size), write)


def int8_form(model: nn.Module, engine: str, size: tuple[int, int, int]) -> Int8Form:
    """Return the int8 form of a network for images of `size`, (C, H, W).

    Raises:
        InputError: there is none; names the command that makes it.
    """
    kept = _cache().read(_key(model, engine, size), _load)
    if kept is None:
        channels, height, width = size
        form = {"openvino": "openvino", "onnxruntime": "onnx"}[engine]
        raise InputError(
            f"engine={engine!r} in int8 for images of {channels}x{height}x{width}, of which this machine has no form",
            "a form in int8 that passed the gate on this machine",
            f"Export the run once on this machine, with format={form!r} and precision='int8'",
        )
    return kept


def int8_digest(model: nn.Module, engine: str, size: tuple[int, int, int]) -> str:
    """Return the SHA-256 of the int8 form of a network.

    Raises:
        InputError: as `int8_form`.
    """
    return _digest(int8_form(model, engine, size)["files"])


def _cache() -> Cache:
    return Cache("int8", LIMIT_BYTES, ".safetensors", without="forms in int8 are not kept")


def _key(model: nn.Module, engine: str, size: tuple[int, int, int]) -> str:
    digest = hashlib.sha256()
    known = [_FORMAT, engine, size, repr(getattr(model, "spec", type(model)))]
    digest.update(repr([*known, processor().name, sorted(processor().flags)]).encode())
    tensors: Mapping[str, Tensor] = model.state_dict()
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu", copy=False).contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load(path: Path) -> Int8Form:
    content = read_regular(path, LIMIT_BYTES)
    length = int.from_bytes(content[:_LENGTH], "little")
    metadata = parse_json(content[_LENGTH : _LENGTH + length], _File, path)["__metadata__"]
    header = parse_json(metadata["int8"], _Header, path)
    try:
        tensors = safetensors.torch.load(content)
    except (ValueError, safetensors.SafetensorError) as error:
        raise Damaged(path, f"it holds no network ({error})") from None
    files = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    if _digest(files) != header["sha256"]:
        raise Damaged(path, "its content does not give the SHA-256 that was written with it")
    return Int8Form(files=files, sentence=header["sentence"], decided=header["decided"])


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode())
        digest.update(files[name])
    return digest.hexdigest()
