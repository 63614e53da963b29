"""Whether tensors fit a network: every difference, not the first."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from residua._base.words import some
from residua.families.build import build
from residua.specs.schema import Spec

_SHOWN = 8


def mismatches(spec: Spec, tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what keeps `tensors` from being the state dict of the spec's network; empty when they fit."""
    with torch.device("meta"):
        wanted = build(spec).state_dict()
    return differences(wanted, tensors)


def differences(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Compare two state dicts by name, shape and kind of number: a phrase for each sort of mismatch."""
    both = [name for name in wanted if name in given]
    shapes = [
        f"{name} {_shape(given[name])} instead of {_shape(wanted[name])}"
        for name in both
        if given[name].shape != wanted[name].shape
    ]
    kinds = [
        f"{name} {given[name].dtype} instead of {wanted[name].dtype}".replace("torch.", "")
        for name in both
        if given[name].is_floating_point() != wanted[name].is_floating_point()
    ]
    groups = (
        ("missing", [name for name in wanted if name not in given]),
        ("unexpected", [name for name in given if name not in wanted]),
        ("misshapen", shapes),
        ("of the wrong type", kinds),
    )
    return [f"{len(names)} {what}: {some(names, _SHOWN)}" for what, names in groups if names]


def _shape(tensor: Tensor) -> str:
    return "×".join(str(side) for side in tensor.shape) or "scalar"
