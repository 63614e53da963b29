"""Where a recipe that ships gives way: to the network's highest rate, to shards, and to classes that bear no flip."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from residua.data.dataset import CHIRAL
from residua.specs.schema import Spec
from residua.training.recipe import Recipe
from residua.training.recipe_file import override

_SGD_RATE = 0.25  # for batches of 128; `fast` had it before Muon
_FAITHFUL = ("paper", "keras", "slim")  # what these do is not ours to change


def give_way(recipe: Recipe, spec: Spec, data: str | Path, chosen: Collection[str]) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe as it suits network and data, and a sentence for each change.

    Args:
        recipe: as it ships.
        spec: the network.
        data: a name or a folder.
        chosen: fields that the user stated; they stand.
    """
    suited, notes = recipe, []
    if limit := spec.rate_limit:
        suited = _slowed(recipe, limit.learning_rate, chosen)
        if suited != recipe and "learning_rate" in chosen:
            notes.append(f"SGD in place of the recipe's Muon, for {spec.name}: {limit.reason}")
        elif suited != recipe:
            notes.append(
                f"SGD of learning_rate={limit.learning_rate:g} in place of the recipe's, the most for {spec.name}: "
                f"{limit.reason}. Give learning_rate=… for another"
            )
    if suited.shard and suited.optimizer == "muon" and "optimizer" not in chosen:
        suited = _by_sgd(suited, chosen)
        notes.append("SGD in place of the recipe's Muon, which needs whole matrices: shard=True divides them")
    flips = suited.augment.flip or suited.augment.alternate_flip
    if flips and str(data) in CHIRAL and recipe.name not in _FAITHFUL and not {"flip", "alternate_flip"} & set(chosen):
        suited = replace(suited, augment=replace(suited.augment, flip=False, alternate_flip=False))
        notes.append(
            f"flip=False in place of the recipe's: mirrored images of {data} belong to no class. Give flip=True to flip"
        )
    return suited, tuple(notes)


def _slowed(recipe: Recipe, most: float, chosen: Collection[str]) -> Recipe:
    # The limit is one of SGD, and Muon's steps are long however small the gradient is.
    if "optimizer" not in chosen:
        recipe = _by_sgd(recipe, chosen)
    exceeds = recipe.optimizer == "sgd" and recipe.learning_rate > most and "learning_rate" not in chosen
    return replace(recipe, learning_rate=most) if exceeds else recipe


def _by_sgd(recipe: Recipe, chosen: Collection[str]) -> Recipe:
    if recipe.optimizer != "muon":
        return recipe
    fields = {"momentum": 0.9, "learning_rate": _SGD_RATE}
    return override(recipe, optimizer="sgd", **{name: value for name, value in fields.items() if name not in chosen})
