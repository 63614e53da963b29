"""State dicts from files: read without executing anything."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import some
from residua.weights.bundle.read import read_bundle
from residua.weights.bundle.signed import is_bundle
from residua.weights.bundle.value import MODEL_FILE

_NESTED = ("state_dict", "model", "model_state_dict")


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a file of `torch.save` or safetensors, its wrappings taken off.

    A state dict may stand under "state_dict" or "model", and have the prefix "module." of DataParallel. Pickles are
    read with `weights_only=True`.

    Raises:
        InputError: no such file; a damaged one; one that holds something else or would run code (nothing is run).
    """
    if not path.is_file():
        raise InputError(
            f"{path} does not exist", f"a file of weights or a run folder with {MODEL_FILE}", "Check the path"
        )
    if path.suffix == ".safetensors" and is_bundle(path):
        return read_bundle(path)[1]
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        # Without torch's own words, which advise to load it all the same.
        raise InputError(
            f"{path} is no plain file of tensors, or it would run code when loaded",
            "safetensors, or a state dict as torch.save writes it; nothing was executed",
            "If you trust its source, save its state dict again as safetensors",
        ) from error
    # A damaged file misleads torch's reader anywhere: it fails with whatever that place raises.
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as weights: {_first_line(error)}",
            "a whole file of weights",
            "Fetch it again",
        ) from error
    return _unwrap(path, found)


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
    if odd := [key for key, t in state.items() if t.layout != torch.strided or t.is_quantized or t.is_meta]:
        raise InputError(
            f"{path} holds tensors that are sparse, quantized or without values: {some(odd)}",
            "plain numbers",
            "Save the state dict of the float network",
        )
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
