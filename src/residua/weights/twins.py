"""Which network of a peer computes what ours computes: one table for converting, for config.json and for proofs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from residua.specs.catalog import get_spec
from residua.specs.schema import Spec


@dataclass(frozen=True)
class Twin:
    """A peer's network that computes what ours computes from the same weights.

    Attributes:
        name: as the peer calls it.
        edits: fields of our spec that the peer has otherwise than the catalog's row.
    """

    name: str
    edits: dict[str, Any] = field(default_factory=dict)


def _same(*names: str) -> dict[str, Twin]:
    return {name: Twin(name) for name in names}


_RESNETS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
)
_VGGS = tuple(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn"))
_DENSENETS = tuple(f"densenet{depth}" for depth in (121, 161, 169, 201))

TWINS: dict[str, dict[str, Twin]] = {
    "torchvision": _same("alexnet", *_VGGS, "inception_v3", *_RESNETS, *_DENSENETS)
    | {"googlenet_bn": Twin("googlenet")},
    "timm": _same(*_VGGS, *_RESNETS, *_DENSENETS, "inception_v4", "inception_resnet_v2")
    | _same(*(f"seresnet{depth}" for depth in (50, 101, 152)))
    | {f"seresnet{depth}_v1": Twin(f"legacy_seresnet{depth}") for depth in (50, 101, 152)}
    | {f"resnet{depth}_v2": Twin(f"resnetv2_{depth}") for depth in (18, 34, 50, 101, 152)}
    | {"senet154": Twin("legacy_senet154"), "inception_v3": Twin("inception_v3", {"aux_heads": False})},
}
# Fields that change how a network is made, trained or fed, never what it computes from given weights.
_HARMLESS = (
    *("num_classes", "in_channels", "input_size", "zero_init_last_bn", "bn_momentum", "gate_bias", "head"),
    *("dropout", "aux_heads", "aux_weight", "aux_dropout", "recompute"),
)


def twin_of(spec: Spec, peer: str) -> Twin | None:
    """Return the peer's network that computes what `spec`'s computes, or None when it has none."""
    twin = TWINS[peer].get(spec.name)
    if twin is None:
        return None
    row = get_spec(spec.name, **twin.edits)
    same = {name: getattr(spec, name) for name in _HARMLESS if hasattr(spec, name)}
    return twin if row.edit(**same) == spec else None
