"""The first lines of a run: network, data, classes, recipe, hardware."""

from __future__ import annotations

from residua._base.words import counted, worded
from residua.data.splitting import UNEVEN, unevenness
from residua.runtime.waiting import waiting_sentence
from residua.specs.preprocess import describe
from residua.training.plan import Plan
from residua.training.trainer import Trainer

_CLASSES_SHOWN = 8  # of each end of the list


def introduce(trainer: Trainer) -> None:
    """State network, data, classes, recipe and hardware of a run that begins."""
    plan, say = trainer.plan, trainer.display.say
    counts = ", ".join(f"{len(split):,} {name}" for name, split in plan.dataset.splits.items())
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    say(f"{plan.spec.name} ({parameters:,} parameters) on {plan.dataset.given}: {counts}")
    side, many = plan.preprocess.side, len(plan.dataset.classes)
    for name, split in plan.dataset.splits.items():
        count = len(split)
        labels = f"({count}, {many}) of 0 and 1" if split.multilabel else f"({count},) of {many} classes"
        say(f"{name}: images ({count}, 3, {side}, {side}) as the network sees them, labels {labels}")
    say(_class_sizes(plan))
    if plan.recipe.freeze:
        learning = sum(parameter.numel() for parameter in trainer.model.parameters() if parameter.requires_grad)
        say(f"Frozen: {plan.recipe.freeze}; {learning:,} of {parameters:,} parameters learn")
    for note in (*plan.dataset.notes, *filter(None, [waiting_sentence()])):
        say(note)
    if plan.recipe.validate_on == "test":
        say("The test images validate, as the recipe states: what they score in the end is optimistic")
    if plan.measures:
        say(f"Images, as measured on the training part: {describe(plan.preprocess)}")
    say(
        f"Recipe {plan.recipe.name}: {counted(plan.recipe.epochs, 'epoch')}, "
        f"{counted(plan.total_steps, 'step')} of {_images(plan)}"
    )
    if plan.recipe.shard and not trainer.sharded:
        say("Sharding divides nothing: this run has one process")
    for note in plan.request.notes_for(len(plan.dataset.splits["train"])):
        say(worded(note))
    if plan.recipe.keep == "every":
        size = sum(tensor.nbytes for tensor in trainer.weights().values()) / 1e6
        say(
            f"The weights of each epoch are kept: up to {counted(plan.recipe.epochs, 'file')} of {size:,.1f} MB, "
            f"{plan.recipe.epochs * size:,.1f} MB in all, in {plan.checkpoints}"
        )
    say(f"{trainer.hardware.sentence}; {trainer.kernels.name} kernels ({trainer.kernels.reason})")


def _class_sizes(plan: Plan) -> str:
    """Return the classes with their training images, the largest first; of many both ends."""
    counts = plan.train.class_counts.tolist()
    names = [
        f"{name} ({count:,})" for count, name in sorted(zip(counts, plan.dataset.classes, strict=True), reverse=True)
    ]
    if len(names) > 2 * _CLASSES_SHOWN:
        names[_CLASSES_SHOWN:-_CLASSES_SHOWN] = [f"… ({len(names) - 2 * _CLASSES_SHOWN:,} others)"]
    uneven = plan.recipe.balance == "none" and unevenness(counts) >= UNEVEN
    kind, remedy = "class", "balance='logits' or balance='sampler' counts the classes alike"
    if plan.dataset.multilabel:
        kind, remedy = "label", "balance='loss' weighs rare labels more"
    return f"Training images of each {kind}: {', '.join(names)}{worded(f'; uneven: {remedy}') if uneven else ''}"


def _images(plan: Plan) -> str:
    size, forwards = plan.recipe.batch_size, plan.recipe.accumulate_steps
    return f"{forwards} × {counted(size, 'image')}" if forwards > 1 else counted(size, "image")
