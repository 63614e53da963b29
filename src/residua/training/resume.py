"""Going on with a run: from its newest whole checkpoint, whose circumstances are compared with those of now."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from torch import Tensor

from residua._base.errors import Damaged, InputError
from residua._base.json_file import mismatch
from residua._base.words import counted, some
from residua.training.folder.checkpoint import Checkpoint, checkpoint_path, newest_checkpoint
from residua.training.plan import Plan
from residua.training.state import State
from residua.training.step.optim import restore_optimizer
from residua.training.trainer import Trainer


class SavedState(TypedDict):
    """What `Trainer.save` puts into a checkpoint beside the tensors."""

    state: dict[str, Any]
    computed_with: dict[str, Any]
    left_out: dict[str, list[int]]


def take_state(trainer: Trainer) -> None:
    """Restore a run that goes on; then the other processes take the state of the first, or their share of it.

    Raises:
        InputError: as `resume`.
    """
    if trainer.group.main and trainer.plan.request.origin is not None:
        resume(trainer)
    if trainer.sharded:
        # Late: torch takes half a second to load what it rests on.
        from residua.training.distributed.sharding import divide_state

        shards = divide_state(trainer)
        trainer.display.say(
            f"Divided between {trainer.group.count} processes: this one holds {shards.held:,} of "
            f"{shards.parameters:,} parameters, with their gradients and optimizer state"
        )
    elif trainer.group.count > 1:
        point = trainer.group.shared(trainer.snapshot)
        if not trainer.group.main:
            restore(trainer, point, State.from_dict(point.state["state"]))


def resume(trainer: Trainer) -> None:
    """Restore the newest whole checkpoint; without one, begin again.

    Raises:
        InputError: different images decode now than did then, or a checkpoint is not of this network.
    """
    checkpoint, warnings = newest_checkpoint(trainer.plan.checkpoints)
    for warning in warnings:
        trainer.display.warn(warning)
    if checkpoint is None:
        why = "No checkpoint is whole" if warnings else "The run ended before its first checkpoint"
        trainer.display.say(f"{why}: it starts again from its recipe")
        trainer.begin()
    else:
        saved, state = _read(checkpoint, trainer.plan.checkpoints)
        if trainer.plan.train.streams:
            # What does not decode is found on the way: what was found before the stop stays counted.
            before = saved["left_out"].pop("train", [])
            trainer.plan.train.skipped.update(dict.fromkeys(before, "before the run was resumed"))
        refuse_different_images(trainer.plan, saved["left_out"])
        restore(trainer, checkpoint, state)
        warn_of_different_arithmetic(trainer, saved["computed_with"])
        trainer.display.say(f"Resumed after step {trainer.global_step} of {trainer.plan.total_steps}")
    trainer.write_history()


def refuse_different_images(plan: Plan, then: dict[str, list[int]]) -> None:
    """Compare the images that do not decode with those that did not when the checkpoint was written.

    Raises:
        InputError: they differ; each is named.
    """
    changed = []
    for name, now in plan.left_out.items():
        if name == "train" and plan.train.streams:
            continue
        places = sorted(set(now) ^ set(then.get(name, ())))
        changed += [plan.dataset.splits[name].where(index) for index in places]
    if changed:
        raise InputError(
            f"{counted(len(changed), 'image decodes', 'images decode')} now and did not when "
            f"{plan.folder} was stopped, or the reverse: "
            f"{some(changed)}",
            "the same images as before",
            "Restore these files, or give a different folder: out=FOLDER",
        )


def warn_of_different_arithmetic(trainer: Trainer, then: dict[str, Any]) -> None:
    """Warn where device, precision, layout, threads, kernels or torch are not those of the checkpoint."""
    alone = {"processes": 1, "sharded": False}
    then = alone | {("kernels" if key == "engine" else key): value for key, value in then.items()}
    now = alone | trainer.computed_with()
    changed = [f"{key} {then.get(key)} then, {now[key]} now" for key in now if now[key] != then.get(key)]
    if changed:
        trainer.display.warn(f"the arithmetic differs ({'; '.join(changed)}): the last bits may differ")


def restore(trainer: Trainer, checkpoint: Checkpoint, state: State) -> None:
    """Give the trainer the tensors of a checkpoint and a state."""
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "average": {}, "best": {}}
    for name, value in checkpoint.tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    trainer.model.load_state_dict(parts["model"], strict=True)
    restore_optimizer(trainer.optimizer, parts["optimizer"])
    if trainer.average:
        trainer.average.restore(parts["average"])
    device = trainer.plan.hardware.device
    trainer.best = {name: value.to(device) for name, value in parts["best"].items()}
    trainer.state = state


def _read(checkpoint: Checkpoint, folder: Path) -> tuple[dict[str, Any], State]:
    """Return what a checkpoint holds beside its tensors, and the state in it.

    Raises:
        Damaged: it is of a different kind, as only a changed file with a matching hash can be.
    """
    path = checkpoint_path(folder, checkpoint.step)
    if reason := mismatch(checkpoint.state, SavedState):
        raise Damaged(path, reason)
    try:
        return checkpoint.state, State.from_dict(checkpoint.state["state"])
    except InputError as error:
        raise Damaged(path, f"it holds {error.given}") from None
