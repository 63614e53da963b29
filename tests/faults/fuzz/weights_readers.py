"""Readers of weights, and of what comes with them, under damage."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from faults.fuzz.drive import Target
from residua._base.errors import InputError
from residua.weights.bundle.read import read_bundle
from residua.weights.files.hub_config import read_config
from residua.weights.files.state_file import read_state
from residua.weights.files.tf_checkpoint import read_checkpoint
from weights.bundles import save_tiny, tiny_model
from weights.files.tables import v1


def _from_file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    def of_bytes(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            read(path)

    return of_bytes


def _bundle() -> Sequence[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [save_tiny(Path(folder)).read_bytes()]


def _saved(**options: Any) -> Sequence[bytes]:
    found = []
    state = {name: tensor for name, tensor in tiny_model().state_dict().items() if name.startswith(("bn1", "fc"))}
    for held in (state, {"state_dict": state, "epoch": 3}):
        stream = io.BytesIO()
        torch.save(held, stream, **options)
        found.append(stream.getvalue())
    return found


def _configs() -> Sequence[bytes]:
    fields = {"input_size": [3, 64, 64], "crop_pct": 0.9, "interpolation": "bicubic", "mean": [0.5], "std": [0.2] * 3}
    config = {"architecture": "resnet18", "label_names": ["a", "b"], "pretrained_cfg": fields}
    return [json.dumps(config).encode(), json.dumps(fields).encode()]


def _read_config(path: Path) -> None:
    _ = read_config(path).preprocess


WEIGHTS: dict[str, Target] = {
    "weights-bundle": Target(_bundle, _from_file("model.safetensors", read_bundle), (InputError,)),
    "weights-torch": Target(_saved, _from_file("w.pth", read_state), (InputError,)),
    "weights-torch-legacy": Target(
        lambda: _saved(_use_new_zipfile_serialization=False), _from_file("w.th", read_state), (InputError,)
    ),
    "weights-safetensors": Target(
        lambda: [safetensors.torch.save({"a.b": torch.arange(6.0).view(2, 3)})],
        _from_file("w.safetensors", read_state),
        (InputError,),
    ),
    "weights-tensorflow": Target(
        lambda: [v1({"a/weights": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float32)})],
        _from_file("model.ckpt", read_checkpoint),
        (InputError,),
    ),
    "weights-config": Target(_configs, _from_file("config.json", _read_config), (InputError,)),
}
