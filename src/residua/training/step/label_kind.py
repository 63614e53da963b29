"""What a recipe has to do with how many labels an image has: settled, or refused, once the data is open."""

from __future__ import annotations

import dataclasses
from typing import Final

from residua._base.errors import InputError
from residua.data.dataset import Dataset
from residua.training.recipe import Recipe

BY_RANK: Final = "mean_average_precision"
"""What chooses the best epoch of several labels an image, unless the recipe names something else that fits."""
MEASURES = {
    "top1": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    BY_RANK: "mean average precision",
}
"""What the best epoch may be chosen by (`Recipe.keep_by`), for people."""


def suited(recipe: Recipe, dataset: Dataset) -> Recipe:
    """Return the recipe for data of one label an image or of several.

    Raises:
        InputError: a field that has no meaning for such data.
    """
    if not dataset.multilabel:
        if recipe.keep_by == BY_RANK:
            raise InputError(
                f"keep_by={BY_RANK!r} of {dataset.given}, whose images have one label each",
                "top1, balanced_accuracy or macro_f1",
                "Use keep_by='balanced_accuracy' where classes are uneven",
            )
        return recipe
    if recipe.balance in ("sampler", "logits"):
        raise InputError(
            f"balance={recipe.balance!r} of {dataset.given}, whose images may have several labels: no order visits all "
            "labels equally often, and no logit competes with others",
            "balance='loss', which weighs a label more where it is there, or balance='none'",
            "Use balance='loss'",
        )
    if recipe.probe_views:
        raise InputError(
            f"probe_views={recipe.probe_views} of {dataset.given}, whose images may have several labels",
            "one label per image for a linear probe, which fits a softmax",
            "Use recipe='fast'",
        )
    if recipe.final_views != "1":
        raise InputError(
            f"final_views={recipe.final_views!r} of {dataset.given}, whose images may have several labels",
            "final_views='1': thresholds are chosen on single views",
            "Use final_views='1'",
        )
    if recipe.keep_by == "balanced_accuracy":
        raise InputError(
            f"keep_by='balanced_accuracy' of {dataset.given}, whose images may have several labels",
            f"keep_by={BY_RANK!r} or 'macro_f1'",
            "Leave it out for the mean average precision",
        )
    return dataclasses.replace(recipe, keep_by=BY_RANK) if recipe.keep_by == "top1" else recipe
