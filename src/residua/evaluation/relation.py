"""What a report states of its images: whether the run has seen them, and what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from residua.data.dataset import public_description
from residua.evaluation.scores.scorer import Scorer
from residua.evaluation.scores.seen import chose_epoch
from residua.weights.run import Run


def relation(chosen: str, *, own_data: bool, recipe: dict[str, Any] | None = None) -> str:
    """State in a sentence or two whether a run has seen the images of a split.

    Args:
        chosen: the split.
        own_data: whether it belongs to the data that the run was trained on.
        recipe: the recipe of that training.
    """
    if not own_data:
        return "These images are other data than the run was trained on."
    if chosen == "train":
        return "These are the images that the run was trained on: expect less on new ones."
    held_out = "These images were held out: the run was not trained on them."
    if chose_epoch(recipe, chosen):
        return f"{held_out} Its epoch was chosen on them, though: the result is somewhat optimistic."
    return held_out


def facts(run: Run, scorer: Scorer, notes: Sequence[str], *, full: bool) -> dict[str, Any]:
    """Return what a report adds to the description of its data."""
    dataset, trained = scorer.dataset, run.data if full else public_description(run.data)
    return {
        "evaluated": relation(scorer.split, own_data=scorer.own, recipe=run.recipe),
        "trained_on": {key: trained[key] for key in ("given", "hash", "counts") if key in trained},
        "notes": [*dataset.describe(full=full)["notes"], *notes],
    }
