"""What a report states of its images: whether the run has seen them, and what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from residua._base.words import some
from residua.data.dataset import public_description
from residua.evaluation.scores.copies import Copies, count_copies
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


@dataclass(frozen=True)
class Overlap:
    """What is known of scored images that runs were trained on.

    Attributes:
        counts: of each run where it is known, by name.
        warning: a sentence where there are some, else "".
        unchecked: sentences on runs where it is not known, and why; else "".
    """

    counts: tuple[tuple[str, Copies], ...]
    warning: str
    unchecked: str


def overlap(runs: Sequence[Run], names: Sequence[str], scorer: Scorer) -> Overlap:
    """Count the scored images that each run was trained on, by the bytes of their files."""
    part = scorer.dataset.splits[scorer.split]
    answers = [(name, count_copies(run, scorer.dataset, part)) for name, run in zip(names, runs, strict=True)]
    counts = tuple((name, answer) for name, answer in answers if isinstance(answer, Copies))
    unknown: dict[str, list[str]] = {}
    for name, answer in answers:
        if isinstance(answer, str) and answer:
            unknown.setdefault(answer, []).append(name)
    return Overlap(
        counts,
        " ".join(_warning(name, copies, len(part)) for name, copies in counts if copies.count),
        " ".join(
            f"Whether images that are scored here were trained on by {some(members)} was not checked: {reason}."
            for reason, members in unknown.items()
        ),
    )


def facts(runs: Sequence[Run], scorer: Scorer, notes: Sequence[str], *, full: bool) -> dict[str, Any]:
    """Return what a report adds to the description of its data.

    `copies` names each run of which it is known how many of the scored images its own data holds, with that number.
    `warning` is a sentence where there are some, and `unchecked` one where it is not known.
    """
    run = runs[0]
    dataset, trained = scorer.dataset, run.data if full else public_description(run.data)
    shared = overlap(runs, [each.name for each in runs], scorer)
    sentences = (relation(scorer.split, own_data=scorer.own, recipe=run.recipe), shared.warning, shared.unchecked)
    copies = [{"run": name} | held.to_dict() for name, held in shared.counts]
    return {
        "evaluated": " ".join(filter(None, sentences)),
        "trained_on": {key: trained[key] for key in ("given", "hash", "counts") if key in trained},
        "notes": [*dataset.describe(full=full)["notes"], *notes],
        **({"copies": copies} if copies else {}),
        **({"warning": shared.warning} if shared.warning else {}),
        **({"unchecked": shared.unchecked} if shared.unchecked else {}),
    }


def _warning(name: str, copies: Copies, scored: int) -> str:
    whole = f"all {scored:,} images" if copies.count == scored else f"{copies.count:,} of the {scored:,} images"
    if copies.learnt:
        return f"{name} was trained on {whole} that are scored here, byte for byte: the result flatters it."
    return (
        f"The data of {name} held {whole} that are scored here, byte for byte, in its training part or another: the "
        "result may flatter it."
    )
