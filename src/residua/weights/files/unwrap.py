"""What training scripts wrap around a state dict: nests, prefixes, averages, and tensors of the training itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import some

# Moving averages first, as timm does: scripts keep one because it scores better, and report its score.
_AVERAGES = ("state_dict_ema", "model_ema", "model_ema_state_dict", "ema_state_dict", "ema_model", "ema")
_PLAIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module")
# DataParallel, torch.compile, Lightning and common scripts; MoCo's query encoder.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder_q.", "student.")
# Of the training, not of the network: losses, metrics, MoCo's key encoder and queue, swa_utils' counter.
_TRAINING = re.compile(
    r"(criterion|loss|loss_fn|\w*_(loss|acc|accuracy|metrics?)|metrics?|acc|accuracy|encoder_k|queue|queue_ptr|teacher"
    r"|n_averaged|optimizer|scheduler)(\..*)?"
)
_DEEPEST = 4


class State(dict[str, Tensor]):
    """A state dict as a file has it, with notes on what was taken and what was left out."""

    notes: tuple[str, ...] = ()


def unwrap(path: Path, found: Any) -> State:
    """Return the state dict in what a file holds, its wrappings taken off.

    Raises:
        InputError: it holds none; or tensors that are sparse, quantized, without values, or larger than their storage.
    """
    notes: list[str] = []
    for _ in range(_DEEPEST):
        if _is_state(found):
            break
        held = [key for key in (*_AVERAGES, *_PLAIN) if _get(found, key)]
        if not held:
            break
        found, left = found[held[0]], held[1:]
        if left:
            average = "the moving average, " if held[0] in _AVERAGES else ""
            notes.append(f"Weights taken from {held[0]!r}: {average}not those in {', '.join(map(repr, left))}.")
    if not _is_state(found):
        raise InputError(
            f"{path} holds {_kind(found)}", "a state dict: names and tensors", "Save model.state_dict() alone"
        )
    tensors = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    if len(tensors) < len(found):
        notes.append(f"Left out beside the tensors: {some([str(key) for key in found if str(key) not in tensors], 5)}.")
    _refuse_odd(path, tensors)
    state = State(_without_prefixes(tensors, notes))
    state.notes = tuple(notes)
    return state


def _get(found: Any, key: str) -> bool:
    return isinstance(found, Mapping) and isinstance(found.get(key), Mapping) and bool(found[key])


def _is_state(found: Any) -> bool:
    """Return whether an object is a state dict: dotted names with tensors, and no nested container of tensors."""
    if not isinstance(found, Mapping) or any(_get(found, key) for key in (*_AVERAGES, *_PLAIN)):
        return False
    tensors = [key for key, value in found.items() if isinstance(value, Tensor)]
    return len(tensors) == len(found) or (any("." in str(key) for key in tensors) and len(tensors) * 2 > len(found))


def _kind(found: Any) -> str:
    return ", ".join(map(str, list(found)[:20]))[:200] if isinstance(found, Mapping) else type(found).__name__


def _refuse_odd(path: Path, tensors: Mapping[str, Tensor]) -> None:
    odd = [name for name, t in tensors.items() if t.layout != torch.strided or t.is_quantized or t.is_meta]
    if odd:
        raise InputError(
            f"{path} holds tensors that are sparse, quantized or without values: {some(odd)}",
            "plain numbers",
            "Save the state dict of the float network",
        )
    # A view may claim more numbers than are stored, and any copy of it would make them.
    large = [name for name, t in tensors.items() if t.numel() * t.element_size() > t.untyped_storage().nbytes()]
    if large:
        raise InputError(
            f"{path} holds tensors larger than their storage: {some(large)}", "a state dict", "Fetch it again"
        )


def _without_prefixes(tensors: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Take off the prefixes that wrappers put before names, and leave out what belongs to the training."""
    for _ in range(_DEEPEST):
        left = [name for name in tensors if _TRAINING.fullmatch(name)]
        if left and len(left) < len(tensors):
            tensors = {name: tensor for name, tensor in tensors.items() if not _TRAINING.fullmatch(name)}
            notes.append(f"State of training left out: {len(left)} tensors, {some(left, 3)}.")
        prefix = next((each for each in _PREFIXES if any(name.startswith(each) for name in tensors)), None)
        # The names of mmpretrain, "backbone." and "head.", are a source of their own.
        if prefix is None or (prefix == "backbone." and any(name.startswith("head.") for name in tensors)):
            break
        bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if len(bare) < len(tensors):
            break
        tensors = bare
    return tensors
