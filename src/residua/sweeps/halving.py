"""Successive halving by whole epochs: many short trainings, and longer ones of those that did best.

Jamieson & Talwalkar, AISTATS 2016. Each rung trains afresh with a schedule of its own length. One that is
cut off would be judged at a high learning rate, where networks rank differently than at its end.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from residua._base.errors import InputError
from residua.training.recipe import Recipe

FACTOR = 3
"""One of so many goes on to the next rung."""
RUNGS = (FACTOR**2, FACTOR, 1)
"""What the length of the whole training is divided by, rung by rung."""
GROUP = FACTOR**2
"""Trials that begin together: one of them reaches the last rung."""


def shortened(recipe: Recipe, divisor: int) -> Recipe:
    """Return the recipe with its length divided, in whole epochs and steps of one and more.

    Raises:
        InputError: a step schedule, whose drops would fall together.
    """
    if recipe.schedule == "step":
        raise InputError("schedule='step' in a search", "a schedule of any length", "Use schedule='cosine'")
    if divisor == 1:
        return recipe
    epochs, steps = math.ceil(recipe.epochs / divisor), math.ceil(recipe.max_steps / divisor)
    # By what is left, not by the divisor: rungs of equal length are then one run.
    share = epochs / recipe.epochs if epochs else steps / recipe.max_steps
    return dataclasses.replace(
        recipe,
        epochs=epochs,
        max_steps=steps,
        min_steps=math.ceil(recipe.min_steps * share),
        warmup_epochs=recipe.warmup_epochs * share,
    )


def kept(values: Mapping[int, float]) -> list[int]:
    """Return which trials go on: the best third, rounded up; of equal values the earlier trial.

    Args:
        values: by number of the trial, more is better.
    """
    order = sorted(values, key=lambda number: (-values[number], number))
    return sorted(order[: math.ceil(len(order) / FACTOR)])
