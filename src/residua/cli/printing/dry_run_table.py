"""The table of a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from residua._base.words import clock, counted, worded
from residua.cli.show import say
from residua.cli.tables import print_table

if TYPE_CHECKING:
    from residua.training.trials.dry_run import DryRun


def print_dry_run(outcome: DryRun) -> None:
    """Print what a training would be: network, shapes, memory, time."""
    parts = ", ".join(f"{count:,} {name}" for name, count in outcome.images.items())
    say(f"{outcome.network}: {outcome.parameters:,} parameters, {outcome.macs / 1e6:,.1f} million MACs per image")
    say(f"{parts}; {counted(len(outcome.classes), 'class', 'classes')}")
    for note in outcome.notes:
        say(worded(note))
    rows = [("images", _shape(outcome.batch)), *((name, _shape(shape)) for name, shape in outcome.shapes.items())]
    print_table(("stage", "output"), rows)
    free = "" if outcome.free_bytes is None else f"; {outcome.free_bytes / 1e9:,.1f} GB are free"
    say(f"memory of a step, by the model: {outcome.memory_bytes / 1e6:,.0f} MB{free}")
    say(
        f"it counts one process; --shard divides parameters, gradients and optimizer state, "
        f"{outcome.divisible_bytes / 1e6:,.1f} MB, by the number of processes"
    )
    say(f"{counted(outcome.epochs, 'epoch')} of {counted(outcome.steps_per_epoch, 'step')}, {outcome.steps:,} in all")
    if outcome.rate_search is not None:
        say(outcome.rate_search.sentence)
    say(
        f"{outcome.seconds_per_step * 1000:,.1f} ms per step, {outcome.images_per_second:,.0f} images/s, the mean of "
        f"{counted(outcome.measured_steps, 'step')}"
    )
    say(
        f"estimate: {clock(outcome.seconds_per_epoch)} per epoch, {clock(outcome.seconds)} for the run; what comes "
        f"before the first step took {clock(outcome.preparing_seconds)}"
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{side:,}" for side in shape)
