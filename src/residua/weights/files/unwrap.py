"""What training scripts wrap around a state dict: nests, prefixes, averages, and tensors of the training itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import counted, some

# A key with one of these words holds a moving average: params_ema, ema_model_state_dict, modelEMA, swa_model.
_AVERAGE_WORDS = {"ema", "swa", "averaged", "average"}
# The keys that hold a network's weights, in the order of preference where a file has several.
_PLAIN = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module",
    "checkpoint", "student",
)  # fmt: skip
# DataParallel, torch.compile, Lightning and common scripts; MoCo's query encoder.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder_q.", "student.")
# Of the training, not of the network: losses, metrics, MoCo's key encoder and queue, swa_utils' counter.
_TRAINING = re.compile(
    r"(criterion|loss|loss_fn|\w*_(loss|acc|accuracy|metrics?)|metrics?|acc|accuracy|encoder_k|queue|queue_ptr|teacher"
    r"|n_averaged|optimizer|scheduler)(\..*)?"
)
_PREFIXED = re.compile("^(" + "|".join(map(re.escape, _PREFIXES)) + ")+")
_DEEPEST = 4  # wrappings around a state dict: more of them is no checkpoint


class State(dict[str, Tensor]):
    """A state dict as a file has it, with notes on what was taken and what was left out."""

    notes: tuple[str, ...] = ()


def unwrap(path: Path, content: Any) -> State:
    """Return the state dict in what a file holds, its wrappings taken off.

    Raises:
        InputError: it holds none; or tensors that are sparse, quantized, without values, or larger than their storage.
    """
    notes: list[str] = []
    for _ in range(_DEEPEST):
        if _is_state(content):
            break
        key, why = _chosen(content)
        if not key:
            break
        left = [
            name for name in content if name != key and (_weights(content[name]) or _unnamed_average(name, content))
        ]
        if left:
            notes.append(f"Weights taken from {key!r}: {why}not those in {', '.join(map(repr, left))}.")
        elif key not in _PLAIN:
            notes.append(f"Weights taken from {key!r}{': ' if why else ''}{why.removesuffix(', ')}.")
        content = content[key]
    if not _is_state(content):
        raise InputError(
            f"{path} holds {_kind(content)}", "a state dict: names and tensors", "Save model.state_dict() alone"
        )
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if len(tensors) < len(content):
        notes.append(
            f"Left out beside the tensors: {some([str(key) for key in content if str(key) not in tensors], 5)}."
        )
    _refuse_odd(path, tensors)
    state = State(_without_prefixes(tensors, notes))
    state.notes = tuple(notes)
    return state


def _chosen(content: Any) -> tuple[str, str]:
    """Return the key of a container to take the weights from, and why; "" where none is to be preferred."""
    if not isinstance(content, Mapping):
        return "", ""
    held = [key for key, value in content.items() if isinstance(key, str) and _weights(value)]
    plain = next((key for key in _PLAIN if key in held), "")
    # mmengine swaps the two when it saves: its state_dict is the average.
    meta = content.get("meta")
    if plain and isinstance(meta, Mapping) and "mmengine_version" in meta:
        return plain, "the moving average, as mmengine saves it, "
    # Moving averages first, as timm does: scripts keep one because it scores better, and report its score.
    for key in held:
        if _is_average(key):
            lacks = _lacks(_weights(content[plain]), _weights(content[key])) if plain else 0
            if not lacks:
                return key, "the moving average, "
            return plain, f"the moving average lacks {lacks} of its tensors, "
    return plain or (held[0] if len(held) == 1 else ""), ""


def _is_average(name: str) -> bool:
    """Return whether a name has a word for a moving average: parts between dots, underscores and capitals count."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return any(word.lower() in _AVERAGE_WORDS for word in words)


def _unnamed_average(key: Any, content: Mapping[Any, Any]) -> bool:
    """Return whether an entry is a moving average that lists its tensors without names."""
    value = content[key]
    values = (
        next((v for v in value.values() if isinstance(v, list | tuple)), ()) if isinstance(value, Mapping) else value
    )
    return _is_average(str(key)) and isinstance(values, list | tuple) and any(isinstance(v, Tensor) for v in values)


def _weights(content: Any) -> Mapping[Any, Any]:
    """Return the state dict that a container leads to, {} where it leads to none."""
    level, seen = [content], set()
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for held in level:
            # A crafted file may hold one container under many keys, and within itself.
            if not isinstance(held, Mapping) or id(held) in seen:
                continue
            seen.add(id(held))
            if any(isinstance(value, Tensor) and "." in str(key) for key, value in held.items()):
                return held
            keys = [key for key in held if isinstance(key, str)]
            below += [held[key] for key in sorted(keys, key=lambda key: key not in _PLAIN)]
        level = below
    return {}


def _lacks(plain: Iterable[Any], average: Iterable[Any]) -> int:
    """Return how many tensors an average lacks: some scripts average the parameters alone, without statistics."""
    wanted, held = ({_PREFIXED.sub("", str(name)) for name in names} for names in (plain, average))
    return sum(
        not name.endswith("num_batches_tracked") and not _TRAINING.fullmatch(name) and "." in name
        for name in wanted - held
    )


def _is_state(content: Any) -> bool:
    """Return whether an object is a state dict: dotted names with tensors, and no nested container of tensors."""
    if not isinstance(content, Mapping) or any(
        (key in _PLAIN or _is_average(str(key))) and _weights(value) for key, value in content.items()
    ):
        return False
    tensors = [key for key, value in content.items() if isinstance(value, Tensor)]
    return bool(tensors) and (
        len(tensors) == len(content) or (any("." in str(key) for key in tensors) and len(tensors) * 2 > len(content))
    )


def _kind(content: Any) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    keys = ", ".join(map(str, list(content)[:20]))[:200]
    if _any_tensor(content):
        return keys
    return f"no tensors, only {keys}" if keys else "no tensors"


def _any_tensor(content: Any) -> bool:
    waiting, seen = [content], set()
    while waiting:
        held = waiting.pop()
        if isinstance(held, Tensor):
            return True
        if isinstance(held, Mapping | list | tuple) and id(held) not in seen:
            seen.add(id(held))
            waiting += held.values() if isinstance(held, Mapping) else held
    return False


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
            notes.append(f"State of training left out: {counted(len(left), 'tensor')}, {some(left, 3)}.")
        tensors = _without_copy(tensors, notes)
        prefix = next((each for each in _PREFIXES if any(name.startswith(each) for name in tensors)), None)
        # The names of mmpretrain, "backbone." and "head.fc.", are a source of their own.
        if prefix is None or (prefix == "backbone." and any(name.startswith("head.fc.") for name in tensors)):
            break
        bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if len(bare) < len(tensors):
            break
        tensors = bare
    return tensors


def _without_copy(tensors: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Return one of a network and its moving average that stand in one state dict: the average where it is whole.

    mmcv's flat names, ema_backbone_conv1_weight, are left out: it swaps the values, so that the others are averages.
    """
    averaged = [name for name in tensors if _is_average(name.partition(".")[0])]
    if not averaged:
        return tensors
    plain = {name: tensor for name, tensor in tensors.items() if name not in set(averaged)}
    first = next((name.partition(".")[0] for name in averaged if "." in name), "")
    copy = {
        name.removeprefix(f"{first}."): tensor
        for name, tensor in tensors.items()
        if first and name.startswith(f"{first}.")
    }
    lacks = _lacks(plain, copy)
    if copy and not lacks:
        others = dict.fromkeys(name.partition(".")[0] for name in tensors if not name.startswith(f"{first}."))
        rest = f", not those in {some(map(repr, others), 5)}" if others else ""
        notes.append(f"Weights taken from {first!r}: the moving average{rest}.")
        return copy
    if not plain:
        return tensors
    why = f", which lacks {lacks} of the network's tensors" if copy else ""
    notes.append(f"Moving average left out{why}: {len(averaged)} tensors, {some(averaged, 3)}.")
    return plain
