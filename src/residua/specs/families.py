"""The families of networks, in one table: to add one, add its row and its two modules."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from residua._base.errors import InputError
from residua._base.words import quoted


@dataclass(frozen=True)
class Family:
    """A family: `residua.specs.NAME` has its spec class and rows, `residua.families.NAME` its network.

    Attributes:
        name: of both modules, and of the family in a spec's JSON.
        spec: the name of the spec class.
    """

    name: str
    spec: str

    @property
    def specs(self) -> ModuleType:
        """The module of the spec class, of `ROWS` and, where depths are free, of `SERIES`."""
        return importlib.import_module(f"residua.specs.{self.name}")

    @property
    def spec_class(self) -> type[Any]:
        """The spec class."""
        kind: type[Any] = getattr(self.specs, self.spec)
        return kind

    @property
    def network_class(self) -> type[Any]:
        """The class of the family's networks; importing it imports torch."""
        kind: type[Any] = importlib.import_module(f"residua.families.{self.name}").Network
        return kind


# In the order in which `residua models` lists them: that of their publication.
_ROWS = (
    Family("alexnet", "AlexNetSpec"),
    Family("nin", "NiNSpec"),
    Family("vgg", "VGGSpec"),
    Family("googlenet", "GoogLeNetSpec"),
    Family("highway", "HighwaySpec"),
    Family("highway_mlp", "HighwayMLPSpec"),
    Family("resnet", "ResNetSpec"),
    Family("inception_v3", "InceptionV3Spec"),
    Family("inception_v4", "InceptionV4Spec"),
    Family("inception_resnet", "InceptionResNetSpec"),
    Family("densenet", "DenseNetSpec"),
)
FAMILIES = {family.name: family for family in _ROWS}


def family_named(name: object) -> Family:
    """Return the family of that name.

    Raises:
        InputError: there is none.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        raise InputError(
            f"family={quoted(name)}", f"one of {', '.join(FAMILIES)}", "Was it written by a newer Residua?"
        )
    return FAMILIES[name]
