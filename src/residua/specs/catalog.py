"""Name -> spec: the catalog of networks, its search, and its errors with the nearest legal names."""

from __future__ import annotations

import fnmatch
import json
import re
import reprlib
import sys
import warnings
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from residua._base.errors import InputError, Notice, ask_whether
from residua.specs.aliases import equal_of
from residua.specs.costs_of_others import cost_of, nearest_by_cost
from residua.specs.families import FAMILIES
from residua.specs.near_misses import near_misses, same_spelling
from residua.specs.no_equal import nearest_of
from residua.specs.schema import Spec
from residua.specs.series import Series

SERIES: tuple[Series, ...] = tuple(
    series for family in FAMILIES.values() for series in getattr(family.specs, "SERIES", ())
)

_SOURCE = Path(__file__).parents[1]
_USUAL = r"(?:wide_|se)?resne(?:t\d+(?:_2)?|xt\d+_\d+x\d+d)"
"""The residual networks that are named beside others by their costs."""


@cache
def _rows() -> dict[str, Spec]:
    rows: dict[str, Spec] = {}
    for spec in (row for family in FAMILIES.values() for row in family.specs.ROWS):
        if spec.name in rows:
            raise RuntimeError(f"two rows of the catalog are named {spec.name}")
        rows[spec.name] = spec
    return rows


def list_models(pattern: str = "*") -> list[str]:
    """Return the catalog's names that match a shell pattern, in the catalog's order.

    A series of any depth is listed at its papers' depths; `get_spec` takes every legal depth.

    Raises:
        InputError: a pattern that is no text.
    """
    if not isinstance(pattern, str):
        raise InputError(f"pattern {reprlib.repr(pattern)}", "a shell pattern of names, as text", "Use '*' for all")
    names = [*_rows(), *(name for series in SERIES for name in series.names())]
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def get_spec(name: str, **edits: Any) -> Spec:
    """Return the frozen spec of a network, with fields edited: `get_spec("resnet50", num_classes=3)`.

    Another library's name of one of our networks serves too (`residua.specs.aliases`). So does a listed name in another
    case or with other separators. The spec has our name then, and a `Notice` states it.

    Raises:
        InputError: an unknown name (the nearest three are named); one of a network that we do not have (the nearest is
            named, and what differs); an illegal depth; an unknown field.
    """
    if not isinstance(name, str):
        raise InputError(
            f"network {reprlib.repr(name)}", "a name of the catalog, as text", "See them all with: residua models"
        )
    if not name.strip():
        raise InputError(
            f"a network without a name, {reprlib.repr(name)}",
            "a name of the catalog, such as resnet50",
            "See them all with: residua models",
        )
    spec = _listed(name) or _of_others(name)
    return spec.edit(**edits) if edits else spec


def _listed(name: str) -> Spec | None:
    """Return the spec that has this name here, None where there is none."""
    spec = _rows().get(name)
    for series in SERIES if spec is None else ():
        spec = series.match(name)
        if spec is not None:
            break
    return spec


def _of_others(name: str) -> Spec:
    """Return the spec that others call by this name."""
    # Here alone: urllib is slow to import, and most commands go without.
    from residua._base.public import public_address

    shown = repr(public_address(name))
    equal = equal_of(name, frozenset(_rows()))
    if equal is not None:
        try:
            spec = _listed(equal.name)
        except InputError as error:
            raise InputError(f"network {shown}, which would be {equal.name}", error.wanted, error.remedy) from error
        if spec is not None:
            _notify(f"{name} is {equal.words}")
            return spec.edit(**equal.edits)
        shown = f"{shown}, which would be {equal.name}"
    elif nearest := nearest_of(name):
        closest = _nearest_by_cost(name)
        by_cost = f". By cost the nearest residual network is {closest}" if closest else ""
        use = closest.partition(" ")[0] or nearest.name
        raise InputError(
            f"network {shown}, which is outside: the catalog has residual networks, and those that led to them",
            f"a name of the catalog. The nearest is {nearest.name}; {name} has {nearest.words}{by_cost}",
            f"Use {use} with what it lacks in mind, or see them all with: residua models",
        )
    elif ours := same_spelling(name, list_models()):
        _notify(f"{name} is {ours} here: the same name but for case and separators")
        return get_spec(ours)
    meant = equal.name if equal else name.rpartition("/")[2].partition(".")[0]
    near = ask_whether(near_misses(meant, list_models()))
    raise InputError(
        f"network {shown}",
        f"a name of the catalog{'. ' + near if near else ', such as resnet50, cifar_resnet20 or vgg16'}",
        "See them all with: residua models",
    )


def _nearest_by_cost(name: str) -> str:
    """Return the residual network for photos that costs most nearly what another's network does, with both costs."""
    cost = cost_of(name.rpartition("/")[2].partition(".")[0])
    if cost is None:
        return ""
    # One form of each: the others cost the same.
    residual = (spec for spec in _rows().values() if re.fullmatch(_USUAL, spec.name))
    ours = {spec.name: pair for spec in residual if (pair := counts(spec.name))}
    closest = nearest_by_cost(cost, ours)
    return f"{closest} ({_costs(ours[closest])}; {name} {_costs(cost)})"


def _costs(pair: tuple[int, int]) -> str:
    return f"{pair[0] / 1e6:.3g} M parameters, {pair[1] / 1e9:.3g} G MACs"


def _notify(sentence: str) -> None:
    """Warn by a notice that points at the caller's line, however many frames of Residua stand between."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(_SOURCE):
        level, frame = level + 1, frame.f_back
    warnings.warn(sentence, Notice, stacklevel=level)


def counts(name: str) -> tuple[int, int] | None:
    """Return (parameters, MACs at the published input size) of a listed network, None for others.

    They are generated from the networks themselves (`make counts`); the tests compare them.
    """
    pair = _counts().get(name)
    return (pair[0], pair[1]) if pair else None


@cache
def _counts() -> dict[str, list[int]]:
    document = resources.files("residua.specs").joinpath("counts.json").read_text()
    counted: dict[str, list[int]] = json.loads(document)
    return counted
