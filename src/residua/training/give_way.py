"""Where a recipe that ships gives way: to the network's highest rate, to shards, and to classes that bear no flip."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from residua.data.dataset import CHIRAL
from residua.specs.schema import Spec
from residua.training.recipe import Recipe
from residua.training.recipe_file import RecipePair, override

_SGD_RATE = 0.25  # for batches of 128; `fast` had it before Muon
_FAITHFUL = ("paper", "keras", "slim")  # what these do is not ours to change


def give_way(
    recipes: RecipePair, spec: Spec, data: str | Path, chosen: Collection[str]
) -> tuple[RecipePair, tuple[str, ...]]:
    """Return the recipes as they suit network and data, and a sentence for each change.

    Args:
        recipes: as they ship.
        spec: the network.
        data: a name or a folder.
        chosen: fields that the user stated; they stand.
    """
    suited, notes = recipes, []
    if limit := spec.rate_limit:
        most = limit.learning_rate
        suited = suited.map(lambda each: _slowed(each, most, chosen))
        if suited != recipes and "learning_rate" not in chosen:
            notes.append(
                f"SGD of learning_rate={most:g} in place of the recipe's, the most for {spec.name}: {limit.reason}. "
                "Give learning_rate=… for another"
            )
    if suited.large.shard and "optimizer" not in chosen:
        whole, suited = suited, suited.map(lambda each: _by_sgd(each, chosen))
        if suited != whole:
            notes.append("SGD in place of the recipe's Muon, which needs whole matrices: shard=True divides them")
    if str(data) in CHIRAL and recipes.large.name not in _FAITHFUL and not {"flip", "alternate_flip"} & set(chosen):
        flipping, suited = suited, suited.map(_unflipped)
        if suited != flipping:
            notes.append(
                f"flip=False in place of the recipe's: mirrored images of {data} belong to no class. "
                "Give flip=True to flip"
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


def _unflipped(recipe: Recipe) -> Recipe:
    return replace(recipe, augment=replace(recipe.augment, flip=False, alternate_flip=False))
