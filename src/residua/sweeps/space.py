"""What a sweep varies: networks, and values of fields of the recipe."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from residua._base.errors import InputError, did_you_mean
from residua.specs.augment import AugmentSpec
from residua.specs.fields import field_types
from residua.specs.synonyms import field_called
from residua.training.recipe import Recipe

_NEVER = {
    "seed": "Use seeds=3, which trains each cell with the seeds 0, 1, 2",
    "folds": "Train folds by residua.train_folds",
    "fold": "Train folds by residua.train_folds",
}
MOST_CELLS = 10_000
_WORDS = ("device",)  # whose values may hold a colon


@dataclass(frozen=True)
class Cell:
    """A network with one choice of values.

    Attributes:
        model: its name.
        fields: of the recipe, all that the sweep sets.
        varied: of these, the ones that have several values in the sweep.
    """

    model: str
    fields: Mapping[str, Any]
    varied: tuple[str, ...]

    @property
    def label(self) -> str:
        """The network, and the values that differ from cell to cell."""
        return " ".join([self.model, *(f"{name}={self.fields[name]}" for name in self.varied)])


def read_grid(words: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each field from words such as "lr=0.05", "0.1", "epochs=3".

    A word without an equals sign is one more value of the field before it.

    Raises:
        InputError: a value without a field.
    """
    grid: dict[str, list[str]] = {}
    name = ""
    for word in words:
        field, equals, value = word.partition("=")
        if equals:
            name = field.strip()
            grid.setdefault(name, []).append(value.strip())
        elif name:
            grid[name].append(word.strip())
        else:
            raise InputError(f"grid={word!r}", "FIELD=VALUE,VALUE", "For example grid='learning_rate=0.05,0.1'")
    return grid


def _check_entries(key: str, name: str, values: Sequence[Any]) -> None:
    """Raise InputError where words are no lists of the length that the field takes: commas divide values."""
    wanted = (field_types(Recipe) | field_types(AugmentSpec))[name]
    length = len(get_args(wanted)) if get_origin(wanted) is tuple and get_args(wanted)[-1] is not Ellipsis else 0
    for value in values:
        if length and isinstance(value, str) and len(value.replace(",", " ").split()) != length:
            example = " ".join(str(0.5 + each / 2) for each in range(length))
            raise InputError(
                f"grid={key}={value}",
                f"{length} numbers for each value of {name}, with spaces between them",
                f"For example grid='{key}={example}'",
            )


def named_fields(models: Sequence[str], grid: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return the values by the names of the fields.

    Raises:
        InputError: no network, an unknown field, a field that a sweep cannot vary, no or equal values.
    """
    if not models:
        raise InputError("a sweep of no network", "one network or more", "For example model=resnet18")
    if len(set(models)) != len(models):
        raise InputError(f"model={','.join(models)}", "each network once", "Name each once")
    known = [name for kind in (Recipe, AugmentSpec) for name in field_types(kind) if name not in ("augment", "name")]
    named: dict[str, Sequence[Any]] = {}
    for key, values in grid.items():
        name = field_called(key, known)
        if name in _NEVER:
            raise InputError(f"grid={key!r}", "a field that runs of one sweep may vary", _NEVER[name])
        if not name:
            raise InputError(f"grid={key!r}", "a field of the recipe", did_you_mean(key, known) or "For example lr=0.1")
        if not values or len(set(map(str, values))) != len(values) or name in named:
            raise InputError(f"grid={key!r} with {list(values)}", "values that differ", "Name each value once")
        _check_entries(key, name, values)
        named[name] = values
    return named


def cells_of(models: Sequence[str], grid: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """Return every network with every combination of values, networks first; a field with one value holds for all.

    Raises:
        InputError: as `named_fields`; a range, which only a search can draw from.
    """
    named = named_fields(models, grid)
    for name, values in named.items():
        if ranges := [value for value in values if is_range(name, value)]:
            raise InputError(
                f"grid={name}={ranges[0]}, a range, in a sweep of all combinations",
                "values, or a search that draws from the range",
                "Add search='optuna', or name values with commas",
            )
    varied = tuple(name for name, values in named.items() if len(values) > 1)
    cells = [
        Cell(model, dict(zip(named, values, strict=True)), varied)
        for model in models
        for values in itertools.product(*named.values())
    ]
    if len(cells) > MOST_CELLS:
        raise InputError(f"{len(cells):,} combinations", f"at most {MOST_CELLS:,}", "Name fewer values")
    return cells


def is_range(name: str, value: Any) -> bool:
    """Return whether a value of a field's grid is a range, such as "0.01:0.5:log"."""
    return isinstance(value, str) and ":" in value and name not in _WORDS
