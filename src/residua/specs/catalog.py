"""Name -> spec: the catalog of networks, its search, and its errors with the nearest legal names."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from residua._base.errors import InputError, did_you_mean
from residua.specs import resnet
from residua.specs.schema import Spec


@dataclass(frozen=True)
class Series:
    """Networks of any legal depth under one pattern of names, such as `cifar_resnet{6n+2}`.

    Attributes:
        pattern: the name with {depth} and, for wide networks, {width}.
        per_n: layers that one more unit a stage adds.
        offset: layers besides the units, so that depth = per_n · n + offset.
        build: (name, n[, width]) -> spec.
        listed: the depths (or (depth, width) pairs) of the papers, which `list_models` shows.
    """

    pattern: str
    per_n: int
    offset: int
    build: Callable[..., Spec]
    listed: tuple[Any, ...]

    def names(self) -> list[str]:
        """The listed names."""
        pairs = (entry if isinstance(entry, tuple) else (entry, None) for entry in self.listed)
        return [self.pattern.format(depth=depth, width=width) for depth, width in pairs]

    def match(self, name: str) -> Spec | None:
        """Return the spec that `name` stands for, None when it is not of this series.

        Raises:
            InputError: an illegal depth; names the nearest legal ones.
        """
        # One spelling a number: no leading zeros, no digits of other scripts. (0 is matched to be refused by name.)
        number = "(?P<{}>0|[1-9][0-9]{{0,8}})"
        found = re.fullmatch(self.pattern.format(depth=number.format("depth"), width=number.format("width")), name)
        if not found:
            return None
        depth, width = int(found["depth"]), found.groupdict().get("width")
        n, rest = divmod(depth - self.offset, self.per_n)
        if rest or n < 1 or width == "0":
            below = max(1, n) * self.per_n + self.offset
            depths = (below, below + self.per_n) if rest or n < 1 else (depth,)
            near = [self.pattern.format(depth=d, width=1 if width == "0" else width) for d in depths]
            raise InputError(
                f"network {name!r}",
                f"a depth of {self.per_n}n+{self.offset}, n >= 1" + (", and a width >= 1" if width == "0" else ""),
                f"The nearest: {' and '.join(near)}",
            )
        return self.build(name, n, int(width)) if width else self.build(name, n)


_HE_DEPTHS = (20, 32, 44, 56, 110)
_BOTTLENECK_DEPTHS = (20, 29, 47, 56, 110, 164, 1001)
_WRN_WIDTHS = {16: (1, 2, 4, 8, 10), 22: (8, 10), 28: (10, 12), 40: (1, 2, 4, 8, 10)}
_WRN = tuple((depth, width) for depth, widths in _WRN_WIDTHS.items() for width in widths)

SERIES = (
    Series("cifar_resnet{depth}", 6, 2, resnet.cifar_resnet, (*_HE_DEPTHS, 1202)),
    Series("cifar_plain{depth}", 6, 2, resnet.cifar_plain, _HE_DEPTHS),
    Series("cifar_seresnet{depth}", 6, 2, resnet.cifar_seresnet, _HE_DEPTHS),
    Series("cifar_resnet{depth}_v2", 6, 2, resnet.cifar_resnet_v2, _HE_DEPTHS),
    Series("cifar_resnet{depth}_v2_bottleneck", 9, 2, resnet.cifar_resnet_v2_bottleneck, _BOTTLENECK_DEPTHS),
    Series("cifar_wrn{depth}_{width}", 6, 4, resnet.cifar_wrn, _WRN),
)


@cache
def _rows() -> dict[str, Spec]:
    rows: dict[str, Spec] = {}
    for spec in resnet.ROWS:
        if spec.name in rows:
            raise RuntimeError(f"two rows of the catalog are named {spec.name}")
        rows[spec.name] = spec
    return rows


def list_models(pattern: str = "*") -> list[str]:
    """Return the catalog's names that match a shell pattern, in the catalog's order.

    A series of any depth is listed at its papers' depths; `get_spec` takes every legal depth.
    """
    names = [*_rows(), *(name for series in SERIES for name in series.names())]
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def get_spec(name: str, **edits: Any) -> Spec:
    """Return the frozen spec of a network, with fields edited: `get_spec("resnet50", num_classes=3)`.

    Raises:
        InputError: an unknown name (the nearest three are named), an illegal depth, an unknown field.
    """
    spec = _rows().get(name)
    for series in SERIES if spec is None else ():
        spec = series.match(name)
        if spec is not None:
            break
    if spec is None:
        raise InputError(
            f"network {name!r}",
            f"a name of the catalog. {did_you_mean(name, list_models())}",
            "See them all with: residua models",
        )
    return spec.edit(**edits) if edits else spec


def counts(name: str) -> tuple[int, int] | None:
    """Return (parameters, MACs at the published input size) of a listed network, None for others.

    They are generated from the networks themselves (`make counts`); the tests compare them.
    """
    found = _counts().get(name)
    return (found[0], found[1]) if found else None


@cache
def _counts() -> dict[str, list[int]]:
    document = resources.files("residua.specs").joinpath("counts.json").read_text()
    counted: dict[str, list[int]] = json.loads(document)
    return counted
