"""Whether tensors fit a network: every difference, not the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from residua._base.words import compact, some
from residua.families.members import state_shapes
from residua.specs.schema import Spec

_LONGEST = 1500  # characters of names that one phrase may have
_MOST = 10  # names per list of an error


def mismatches(spec: Spec, tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what keeps `tensors` from being the state dict of the spec's network; empty when they fit."""
    return differences(state_shapes(spec), tensors)


def differences(wanted: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> list[str]:
    """Compare two state dicts by name, shape and kind of number: a phrase for each sort of mismatch.

    Each phrase counts the tensors of its sort and names them, see `listed`.
    """
    both = [name for name in wanted if name in held]
    shapes: dict[str, list[str]] = {}
    kinds: dict[str, list[str]] = {}
    for name in both:
        ours, theirs = wanted[name], held[name]
        if theirs.shape != ours.shape:
            shapes.setdefault(f"{_shape(theirs)} instead of {_shape(ours)}", []).append(name)
        if theirs.is_floating_point() != ours.is_floating_point():
            what = f"{theirs.dtype} instead of {ours.dtype}".replace("torch.", "")
            kinds.setdefault(what, []).append(name)
    groups = (
        ("missing", {"": [name for name in wanted if name not in held]}),
        ("unexpected", {"": [name for name in held if name not in wanted]}),
        ("misshapen", shapes),
        ("of the wrong type", kinds),
    )
    return [
        f"{sum(map(len, tensors.values()))} {what}: "
        + _joined([f"{name} {how}".rstrip() for how, names in tensors.items() for name in _compact(names)])
        for what, tensors in groups
        if any(tensors.values())
    ]


def listed(names: Sequence[str]) -> str:
    """Return names in the brace notation of `residua._base.words.compact`, the first of them where that is long."""
    return _joined(_compact(names))


def _compact(names: Sequence[str]) -> Sequence[str]:
    """Return names in brace notation, or as they are where one pair of braces would hold too much to read."""
    short = compact(names)
    return short if max(map(len, short), default=0) <= _LONGEST else names


def _joined(entries: Sequence[str]) -> str:
    text = ", ".join(entries)
    return text if len(text) <= _LONGEST else some(entries, _MOST)


def _shape(tensor: Tensor) -> str:
    return "×".join(str(side) for side in tensor.shape) or "scalar"
