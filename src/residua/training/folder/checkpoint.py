"""Checkpoints: whole or absent, hashed, the newest few kept, and a bad one is never loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from residua._base.errors import ResiduaError
from residua._base.files import atomic_path, writing
from residua._base.json_file import parse_json
from residua.weights.bundle.value import hash_tensors


class BadCheckpoint(ResiduaError):
    """A checkpoint whose content is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """One moment of a run: named tensors, and the rest as plain values of JSON."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write `folder`/step-N.safetensors atomically, then remove all but the newest `keep`.

    Raises:
        InputError: the disk is full or refuses; earlier checkpoints stay as they are.
    """
    path = checkpoint_path(folder, checkpoint.step)
    state = json.dumps(checkpoint.state, sort_keys=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}
    metadata = {"format": "residua-checkpoint-2", "state": state, "sha256": _digest(tensors, state)}
    with writing(path), atomic_path(path) as beside:
        save_file(tensors, beside, metadata=metadata)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    # Only of checkpoints: a tracker's thread may be writing its own file here.
    remove_leftovers(folder, "step-*")
    return path


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the file of the checkpoint after `step` steps."""
    return folder / f"step-{step:010d}.safetensors"


def epoch_path(folder: Path, epoch: int) -> Path:
    """Return the file of the weights at the end of an epoch, counted from 1, which `keep="every"` leaves."""
    return folder / f"epoch-{epoch:04d}.safetensors"


def save_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write weights alone, whole or not at all.

    Raises:
        InputError: the disk is full or refuses.
    """
    with writing(path), atomic_path(path) as beside:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, beside)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint and compare its hash.

    Raises:
        BadCheckpoint: it is truncated, changed, or no checkpoint at all.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        state = metadata["state"]
        if _digest(tensors, state) != metadata["sha256"]:
            raise BadCheckpoint(f"{path} was changed after it was written (its SHA-256 differs)")
        plain = parse_json(state, dict, path)
        return Checkpoint(step=int(path.stem.removeprefix("step-")), tensors=tensors, state=plain)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BadCheckpoint(f"{path} cannot be read: {error}") from None


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint that is whole, and a warning for each newer one that is not."""
    warnings: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            return load_checkpoint(path), warnings
        except BadCheckpoint as error:
            warnings.append(f"{error}; falling back to the one before it")
    return None, warnings


def remove_leftovers(folder: Path, of: str = "*") -> None:
    """Remove what a killed writer left beside its target; the caller holds the run's lock.

    Args:
        folder: in which it stands.
        of: a pattern of the target's name.
    """
    for part in folder.glob(f".{of}.part"):
        part.unlink(missing_ok=True)


def all_finite(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether no floating-point tensor holds NaN or infinity."""
    return all(bool(torch.isfinite(value).all()) for value in tensors.values() if value.is_floating_point())


def _digest(tensors: Mapping[str, Tensor], state: str) -> str:
    return hashlib.sha256(f"{hash_tensors(tensors)}\n{state}".encode()).hexdigest()
