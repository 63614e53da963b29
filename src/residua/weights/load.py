"""Weights from a file into a network: strict, and every difference named at once."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.weights.bundle import KEY, MODEL_FILE, load_bundle
from residua.weights.match import differences

_NESTED = ("state_dict", "model", "model_state_dict")


def load_state(model: nn.Module, path: Path | str) -> None:
    """Load a state dict into `model`, all of it or nothing.

    Args:
        model: the network; its tensors keep their device and type.
        path: a run folder, a `.safetensors` file, or a file of `torch.save` that holds a state dict (also
            under "state_dict" or "model", also with the prefix "module." of DataParallel). Pickles are read
            with `weights_only=True`: a file that would run code is refused.

    Raises:
        InputError: the file is absent, damaged or unsafe, or its tensors do not fit: all missing, unexpected
            and misshapen ones are listed, and the network is unchanged.
    """
    path = Path(path)
    state = load_bundle(path).tensors if path.is_dir() else read_state(path)
    problems = differences(model.state_dict(), state)
    if problems:
        raise InputError(
            f"{path} does not fit this {type(model).__name__}: {'; '.join(problems)}",
            "the state dict of the same network with the same number of classes and channels",
            "Build the network that the weights were trained with (name, num_classes=, in_channels=)",
        )
    model.load_state_dict(dict(state), strict=True)


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file of `torch.save` or safetensors, its wrappings taken off.

    Raises:
        InputError: no such file; a damaged one; one that holds something else or would run code (nothing is run).
    """
    if not path.is_file():
        raise InputError(
            f"{path} does not exist", f"a file of weights or a run folder with {MODEL_FILE}", "Check the path"
        )
    try:
        if path.suffix == ".safetensors":
            return load_bundle(path).tensors if is_bundle(path) else safetensors.torch.load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is no plain file of tensors, or it would run code when loaded: {_first_line(error)}",
            "safetensors, or a state dict as torch.save writes it; nothing was executed",
            "If you trust its source, save its state dict again as safetensors",
        ) from error
    except InputError:
        raise
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{path} cannot be read as weights: {_first_line(error)}",
            "a whole file of weights",
            "Fetch it again",
        ) from error
    return _unwrap(path, found)


def is_bundle(path: Path) -> bool:
    """Whether a file is safetensors with our own header; false also for what cannot be read."""
    try:
        with safetensors.safe_open(path, "pt") as stored:
            return KEY in (stored.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return False


def _unwrap(path: Path, found: Any) -> dict[str, Tensor]:
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        kind = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        raise InputError(
            f"{path} holds {kind[:200]}", "a state dict: names and tensors", "Save model.state_dict() alone"
        )
    state = {str(key): value for key, value in found.items()}
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
