"""What a search draws from: ranges of numbers and lists of values, in the words of a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from residua._base.errors import InputError
from residua.specs.augment import AugmentSpec
from residua.specs.fields import field_types
from residua.sweeps.space import Cell, is_range, named_fields
from residua.training.recipe import Recipe

_DIGITS = 6  # of a drawn number: more would only lengthen the command that repeats a run


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low, high: the ends.
        log: whether equal factors are equally likely, rather than equal steps.
        whole: whether only whole numbers are meant.
    """

    low: float
    high: float
    log: bool
    whole: bool

    def value(self, drawn: float) -> float | int:
        """Return a drawn number as a run takes it: of six digits, within the ends."""
        if self.whole:
            return int(drawn)
        return min(max(float(f"{drawn:.{_DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True)
class SearchSpace:
    """What is drawn for each trial.

    Attributes:
        models: networks; one is no choice.
        fixed: fields of the recipe with one value.
        choices: fields with several, as the grid names them.
        ranges: fields with a range.
    """

    models: tuple[str, ...]
    fixed: Mapping[str, Any]
    choices: Mapping[str, tuple[Any, ...]]
    ranges: Mapping[str, Range]

    def cell(self, drawn: Mapping[str, Any]) -> Cell:
        """Return the network and values of a trial.

        Args:
            drawn: "model" where there are several, and each choice and range, by name; choices by position.
        """
        fields = dict(self.fixed)
        fields |= {name: values[drawn[name]] for name, values in self.choices.items()}
        fields |= {name: each.value(drawn[name]) for name, each in self.ranges.items()}
        model = self.models[drawn.get("model", 0)]
        return Cell(model, fields, (*self.choices, *self.ranges))

    def corners(self) -> list[Cell]:
        """Return cells that have every network, every choice and both ends of every range: all is checked by them."""
        count = max([len(self.models), 2 * bool(self.ranges), *map(len, self.choices.values())])
        cells = []
        for at in range(count):
            drawn: dict[str, Any] = {"model": at % len(self.models)}
            drawn |= {name: at % len(values) for name, values in self.choices.items()}
            drawn |= {name: (each.low, each.high)[at % 2] for name, each in self.ranges.items()}
            cells.append(self.cell(drawn))
        unlike = {(each.model, str(sorted(each.fields.items()))): each for each in cells}
        return list(unlike.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the space as JSON values."""
        return {
            "models": list(self.models),
            "fixed": {name: str(value) for name, value in self.fixed.items()},
            "choices": {name: list(map(str, values)) for name, values in self.choices.items()},
            "ranges": {name: [each.low, each.high, each.log] for name, each in self.ranges.items()},
        }


def space_of(models: Sequence[str], grid: Mapping[str, Sequence[Any]]) -> SearchSpace:
    """Return the space that networks and a grid describe.

    "0.01:0.5" is a range, "0.01:0.5:log" one of equal factors, several values are a choice, one value is fixed.

    Raises:
        InputError: as `cells_of`; a range of no numbers or beside other values; nothing to search.
    """
    named = named_fields(models, grid)
    fixed: dict[str, Any] = {}
    choices: dict[str, tuple[Any, ...]] = {}
    ranges: dict[str, Range] = {}
    for name, values in named.items():
        if any(is_range(name, value) for value in values):
            if len(values) > 1:
                raise InputError(
                    f"grid={name}={','.join(map(str, values))}", "a range or values, not both", "Name one range"
                )
            ranges[name] = _range(name, values[0])
        elif len(values) > 1:
            choices[name] = tuple(values)
        else:
            fixed[name] = values[0]
    if len(models) == 1 and not choices and not ranges:
        raise InputError(
            "a search of one network with fixed values", "a range or several values", "Give grid='lr=0.01:0.5:log'"
        )
    return SearchSpace(tuple(models), fixed, choices, ranges)


def _range(name: str, text: str) -> Range:
    kind = (field_types(Recipe) | field_types(AugmentSpec))[name]
    wanted = f"LOW:HIGH or LOW:HIGH:log, for example grid='{name}=0.01:0.5:log'"
    ends = text.split(":")
    log = ends[-1] == "log"
    if kind not in (int, float):
        raise InputError(
            f"grid={name}={text}", "values, since no range of them can be drawn", "Name values with commas"
        )
    try:
        low, high = map(kind, ends[:-1] if log else ends)
    except ValueError:
        raise InputError(f"grid={name}={text}", "a range of numbers", f"Give {wanted}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or (log and low <= 0):
        raise InputError(f"grid={name}={text}", "a range that rises" + ", from above 0" * log, f"Give {wanted}")
    return Range(low, high, log, kind is int)
