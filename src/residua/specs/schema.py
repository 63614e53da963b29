"""What all specs share: editing, comparing, and the round trip through JSON."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, Literal, Protocol, Self, TypeVar, runtime_checkable

from residua._base.errors import InputError, did_you_mean

S = TypeVar("S")

_FAMILIES = {
    "alexnet": ("residua.specs.alexnet", "AlexNetSpec"),
    "nin": ("residua.specs.nin", "NiNSpec"),
    "vgg": ("residua.specs.vgg", "VGGSpec"),
    "googlenet": ("residua.specs.googlenet", "GoogLeNetSpec"),
    "highway": ("residua.specs.highway", "HighwaySpec"),
    "highway_mlp": ("residua.specs.highway_mlp", "HighwayMLPSpec"),
    "resnet": ("residua.specs.resnet", "ResNetSpec"),
    "inception_v3": ("residua.specs.inception_v3", "InceptionV3Spec"),
    "inception_v4": ("residua.specs.inception_v4", "InceptionV4Spec"),
    "inception_resnet": ("residua.specs.inception_resnet", "InceptionResNetSpec"),
    "densenet": ("residua.specs.densenet", "DenseNetSpec"),
}

Role = Literal["names", "ends", "start", "training", "layout", "density"]

# What a field bears on, where that is not what a network computes from given weights; every other field decides it.
# "layout": the same numbers in other shapes. "density": the same weights read at more places of the image.
ROLES: dict[str, Role] = {
    **dict.fromkeys(("name", "paper", "end_points"), "names"),
    **dict.fromkeys(("num_classes", "in_channels", "input_size"), "ends"),
    **dict.fromkeys(("init", "initial", "init_std", "init_small_std", "init_small", "init_bias"), "start"),
    **dict.fromkeys(("init_bias_layers", "zero_init_last_bn", "gate_bias", "transform_bias"), "start"),
    **dict.fromkeys(("dropout", "dropouts", "dropout_pools", "dropout_site", "head_dropout"), "training"),
    **dict.fromkeys(("shortcut_dropout", "bn_momentum", "recompute"), "training"),
    **dict.fromkeys(("aux_heads", "aux_pool", "aux_weight", "aux_dropout"), "training"),
    "head": "layout",
    "output_stride": "density",
}


@runtime_checkable
class Spec(Protocol):
    """A network as a value: a frozen dataclass whose fields say everything that the network is."""

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def paper(self) -> str: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def input_size(self) -> int: ...

    def __hash__(self) -> int: ...

    def edit(self, **edits: Any) -> Self:
        """Return a copy with some fields changed."""
        ...


def edit(spec: S, **edits: Any) -> S:
    """Return `spec` with fields replaced.

    Raises:
        InputError: a field that the spec does not have, or a value that it refuses.
    """
    known = {field.name for field in dataclasses.fields(spec) if field.init}  # type: ignore[arg-type]
    for key in edits:
        if key not in known:
            others = [family for family in _FAMILIES if key in _fields(family)]
            if others:
                raise InputError(
                    f"{key}={edits[key]!r} for {getattr(spec, 'name', type(spec).__name__)}",
                    f"a network of a family that has it: {', '.join(others)}",
                    "Leave it out, or see those networks with: residua models",
                )
            raise InputError(
                f"{key}={edits[key]!r} for {type(spec).__name__}",
                f"one of its fields: {', '.join(sorted(known))}",
                did_you_mean(key, known),
            )
    return dataclasses.replace(spec, **edits)  # type: ignore[type-var]


def _fields(family: str) -> set[str]:
    module, name = _FAMILIES[family]
    kind = getattr(importlib.import_module(module), name)
    return {field.name for field in dataclasses.fields(kind) if field.init}


def diff(left: Spec, right: Spec) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two specs differ, as field -> (left's value, right's value).

    A field that only one family has shows the other's side as None.
    """
    a, b = to_json(left), to_json(right)
    return {key: (a.get(key), b.get(key)) for key in [*a, *(k for k in b if k not in a)] if a.get(key) != b.get(key)}


def to_json(spec: Spec) -> dict[str, Any]:
    """Return the spec as JSON values, `family` first; `from_json` undoes it exactly."""
    fields = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}  # type: ignore[arg-type]
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
    return {"family": spec.family, **plain}


def from_json(document: dict[str, Any]) -> Spec:
    """Build a spec from what `to_json` returned, now or in an earlier version.

    A missing field takes its default: that of a field which came later means the network as it was before.

    Raises:
        InputError: an unknown family or field, a missing one without a default, or a value that the spec refuses.
    """
    family = document.get("family")
    if not isinstance(family, str) or family not in _FAMILIES:
        raise InputError(f"family={family!r}", f"one of {', '.join(_FAMILIES)}", "Was it written by a newer Residua?")
    module, name = _FAMILIES[family]
    kind = getattr(importlib.import_module(module), name)
    known = {field.name: field for field in dataclasses.fields(kind) if field.init}
    unknown = [key for key in document if key != "family" and key not in known]
    missing = [key for key, field in known.items() if key not in document and field.default is dataclasses.MISSING]
    if unknown or missing:
        raise InputError(
            f"a {name} with unknown fields {unknown} and without {missing}",
            "the fields of this version",
            "Was it written by another version of Residua?",
        )
    try:
        spec: Spec = kind(**{key: document[key] for key in known if key in document})
    except InputError as error:
        raise InputError(f"a {name} with {error.given}", error.wanted, error.remedy) from error
    return spec
