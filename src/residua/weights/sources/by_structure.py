"""Home-made state dicts under names that no rule knows: matched with our networks by order, shapes and kinds."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import some
from residua.families.members import input_tensors, state_shapes
from residua.specs.catalog import SERIES, counts, get_spec, list_models
from residua.specs.schema import Spec
from residua.weights.files.state_file import container_of, read_state

_COUNTER = "num_batches_tracked"
_STATISTICS = frozenset(("running_mean", "running_var"))
# What separates one kind of layer from another: the names of its tensors and their shapes.
_Signature = tuple[tuple[str, tuple[int, ...]], ...]
_Modules = dict[str, _Signature]


class Match(NamedTuple):
    """A file's tensors as our network has them.

    Attributes:
        spec: the network, its classes and channels as the file has them.
        tensors: the state dict of that network.
        modules: the map of layers, theirs -> ours, in the order of the network.
    """

    spec: Spec
    tensors: dict[str, Tensor]
    modules: dict[str, str]


def match_by_structure(path: Path, spec: Spec) -> Match:
    """Match a file of torch or safetensors with a network by order, shapes and kinds of layers alone.

    Layers of one kind and shape are matched in the order of the file. A match is refused as uncertain

    - where numbers in the names contradict that order;
    - where the layers of one unit of ours do not stand together in the file;
    - where a unit has a layer twice under different words: `bn3` and `shortcut.1` may each be the projection's norm.

    Files of safetensors keep no order: there, numbers in the names have to give one.

    Args:
        path: of the file.
        spec: the network; its classes and channels follow the file.

    Raises:
        InputError: an unreadable file; layers that the network does not have, or too few; an order that is not
            certain; numbers that are not finite.
    """
    tensors = {name: tensor for name, tensor in read_state(path).items() if isinstance(tensor, Tensor)}
    theirs = _modules(tensors)
    spec = _with_ends(spec, theirs)
    wanted = state_shapes(spec)
    ours = _modules(wanted)
    if problems := _other_layers(theirs, ours):
        raise InputError(
            f"{path}, whose layers are not those of {spec.name}: {'; '.join(problems)}",
            "as many layers of each kind and shape as the network has",
            _others(theirs, spec),
        )
    ordered = container_of(path) == "torch"  # safetensors sorts its tensors
    order = list(theirs) if ordered else sorted(theirs, key=_natural)
    pairing, doubts = _paired(order, theirs, ours)
    doubts = _contradicted(order, theirs, ordered) or doubts or _torn(pairing, ours)
    if doubts:
        raise InputError(
            f"{path}, of which more than one match with {spec.name} is possible: {doubts}",
            "names, in the order of the layers, that leave one match",
            "Rename the tensors in the file after ours, see build(spec).state_dict()",
        )
    by_ours = {mine: name for name, mine in pairing.items()}
    state = {}
    for key, like in wanted.items():
        module, _, leaf = key.rpartition(".")
        tensor = tensors.get(f"{by_ours[module]}.{leaf}" if by_ours[module] else leaf)
        state[key] = torch.zeros(like.shape, dtype=like.dtype) if tensor is None else tensor.to(like.dtype)
    lost = [key for key, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if lost:
        raise InputError(f"{path} with NaN or infinity in {some(lost)}", "finite weights", "Give another file")
    return Match(spec, state, {by_ours[module]: module for module in ours})


def matches(path: Path, spec: Spec) -> bool:
    """Return whether a file matches a network by its structure."""
    try:
        match_by_structure(path, spec)
    except InputError:
        return False
    return True


def also_fits(path: Path, spec: Spec) -> list[str]:
    """Return the other networks of the catalog that a file matches as well: weights do not tell them apart.

    Strides, padding, the order of activation and shortcuts without weights are in no file. Of series, the papers'
    depths and the depth of `spec` are tried.

    Args:
        path: of the file.
        spec: the network that it was matched with.

    Raises:
        InputError: an unreadable file.
    """
    theirs = _modules({name: tensor for name, tensor in read_state(path).items() if isinstance(tensor, Tensor)})
    mine = _with_ends(spec, theirs)
    names = [name for name in list_models() if _is_as_large(name, theirs)]
    for series in SERIES:
        with contextlib.suppress(InputError):
            if other := series.match(_of_same_depth(series.pattern, spec.name)):
                names.append(other.name)
    fitting = []
    for name in dict.fromkeys(names):
        other = _with_ends(get_spec(name), theirs)
        if not mine.diff(other.edit(name=mine.name)):
            continue
        if not _other_layers(theirs, _modules(state_shapes(other))) and matches(path, other):
            fitting.append(name)
    return fitting


def _is_as_large(name: str, theirs: _Modules) -> bool:
    """Return whether a listed network has about as many parameters as a file: its classes may be others."""
    known = counts(name)
    number = sum(math.prod(shape) for leaves in theirs.values() for leaf, shape in leaves if leaf not in _STATISTICS)
    return known is not None and 0.8 <= number / known[0] <= 1.25


def _of_same_depth(pattern: str, name: str) -> str:
    """Return the name of a series with the numbers of another name."""
    numbers = [*re.findall(r"\d+", name), "0", "0"]
    return pattern.format(depth=numbers[0], width=numbers[1])


def _modules(tensors: Mapping[str, Tensor]) -> _Modules:
    """Return the signature of each layer with tensors; counters, which old files lack, are left out."""
    grouped: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        if leaf != _COUNTER:
            grouped.setdefault(module, []).append((leaf, tuple(tensor.shape)))
    return {module: tuple(sorted(leaves)) for module, leaves in grouped.items()}


def _with_ends(spec: Spec, theirs: _Modules) -> Spec:
    """Return the spec with the classes and the channels of the file, as far as one layer of it decides them."""
    kernels = [shape for leaves in theirs.values() for leaf, shape in leaves if leaf == "weight"]
    linear = [shape for shape in kernels if len(shape) == 2]
    if linear:
        spec = spec.edit(num_classes=linear[-1][0])
    first = input_tensors(spec)[0]
    wanted = {name: tuple(tensor.shape) for name, tensor in state_shapes(spec).items() if tensor.ndim == 4}
    if first not in wanted:
        return spec  # fully connected
    alike = wanted[first][0], *wanted[first][2:]
    inner = {shape[1] for name, shape in wanted.items() if name != first and (shape[0], *shape[2:]) == alike}
    stems = {shape[1] for shape in kernels if len(shape) == 4 and (shape[0], *shape[2:]) == alike} - inner
    return spec.edit(in_channels=stems.pop()) if len(stems) == 1 else spec


def _other_layers(theirs: _Modules, ours: _Modules) -> list[str]:
    """Return which layers one side has more of, a phrase each."""
    phrases = []
    for signature in dict.fromkeys([*theirs.values(), *ours.values()]):
        there = [name for name, own in theirs.items() if own == signature]
        here = [name for name, own in ours.items() if own == signature]
        if len(there) != len(here):
            names = some(there or here, 3)
            phrases.append(f"{len(there)} instead of {len(here)} of {_words(signature)} ({names})")
    return phrases[:6]


def _words(signature: _Signature) -> str:
    kinds = {name for name, _ in signature}
    shape = dict(signature).get("weight", ())
    kind = "norms" if kinds >= _STATISTICS else {4: "convolutions", 2: "linear layers"}.get(len(shape), "layers")
    bias = " with bias" if "bias" in kinds and kind != "norms" else ""
    return f"{kind} {'×'.join(map(str, shape))}{bias}"


def _others(theirs: _Modules, spec: Spec) -> str:
    """Return the remedy: another network of a similar name whose layers the file has."""
    for name in list_models(f"{spec.name.partition('_')[0]}*"):
        other = _with_ends(get_spec(name), theirs)
        if not _other_layers(theirs, _modules(state_shapes(other))):
            return f"Its layers are those of {name}: use model={name!r}"
    return "Name the network that the file is for with model=…"


def _paired(order: Sequence[str], theirs: _Modules, ours: _Modules) -> tuple[dict[str, str], str]:
    """Return theirs -> ours, the layers of one signature in order, and what is not certain inside a unit."""
    pairing: dict[str, str] = {}
    for signature in dict.fromkeys(ours.values()):
        there = [name for name in order if theirs[name] == signature]
        here = [name for name, own in ours.items() if own == signature]
        units: dict[str, list[tuple[str, str]]] = {}
        for name, mine in zip(there, here, strict=True):
            units.setdefault(_unit(mine), []).append((name, mine))
        for unit, pairs in units.items():
            left, right = (_by_wording(names) for names in zip(*pairs, strict=True))
            if len(left) == len(right) == 1:
                pairing |= dict(pairs)
                continue
            sizes = [len(names) for names in left]
            if len(set(sizes)) < len(sizes) or sorted(sizes) != sorted(map(len, right)):
                return {}, f"{some([name for name, _ in pairs], 4)} could each be several of {unit}'s"
            for names in left:
                alike = next(group for group in right if len(group) == len(names))
                pairing |= dict(zip(names, alike, strict=True))
    return pairing, ""


def _contradicted(order: Sequence[str], theirs: _Modules, ordered: bool) -> str:
    """Return which names contradict the order, or give none where the file has none; "" where all is well."""
    for signature in dict.fromkeys(theirs.values()):
        groups = _by_wording([name for name in order if theirs[name] == signature])
        if len(groups) > 1 and not ordered:
            return f"safetensors keeps no order, and {groups[0][0]} and {groups[1][0]} have none by their names"
        for names in groups:
            for first, second in itertools.pairwise(names):
                if _natural(first) > _natural(second):
                    return f"{second} comes after {first} in the file and before it by its name"
    return ""


def _by_wording(names: Iterable[str]) -> list[list[str]]:
    """Return the names in groups of those that differ in numbers alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"\d+", "#", name), []).append(name)
    return list(groups.values())


def _unit(module: str) -> str:
    """Return the unit of a layer of ours: `layer1.0`; the layer itself where it stands in none."""
    return ".".join(module.split(".")[:2])


def _torn(pairing: Mapping[str, str], ours: _Modules) -> str:
    """Return a unit of ours whose layers stand inside and outside another's, "" where there is none.

    Layers that only one place can take prove nothing about the order and are left out.
    """
    count = {signature: list(ours.values()).count(signature) for signature in set(ours.values())}
    units: dict[str, list[str]] = {}
    for theirs, mine in pairing.items():
        unit = _unit(mine)
        if unit != mine and count[ours[mine]] > 1:
            units.setdefault(unit, []).append(theirs)
    places = {unit: _common(names) for unit, names in units.items()}
    for unit, path in places.items():
        for other, inner in places.items():
            if path and len(inner) > len(path) and inner[: len(path)] == path:
                return f"the layers of {unit} are spread over {'.'.join(path)}, which holds {other}"
    return ""


def _common(names: Iterable[str]) -> tuple[str, ...]:
    """Return the containers that all these layers stand in."""
    paths = [name.split(".")[:-1] for name in names]
    shared = []
    for step in zip(*paths, strict=False):
        if len(set(step)) > 1:
            break
        shared.append(step[0])
    return tuple(shared)


def _natural(name: str) -> list[tuple[float, str]]:
    """Return what orders names with numbers by their value: 2 before 10."""
    return [
        (float(part), "") if part.isdigit() and len(part) < 16 else (math.inf, part)
        for part in re.findall(r"\d+|\D+", name)
    ]
