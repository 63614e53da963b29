"""A training that is only tried: shapes, memory, time and the first batch, without a run folder."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from residua._base.console import Display
from residua._base.errors import InputError
from residua._base.signals import StopRequest
from residua.anatomy.inspect import inspect
from residua.data.tables.label_table import ColumnNames, label_table
from residua.specs.schema import Spec
from residua.training.pictures import batch_picture
from residua.training.plan import Plan
from residua.training.recipe import Recipe
from residua.training.request import ask
from residua.training.trainer import Trainer
from residua.training.trials.batch_size import step_memory
from residua.training.trials.find_rate import RateSearch
from residua.training.trials.memory import free_memory
from residua.training.trials.settle import settled_plan

_WARM_UP, _STEPS, _SECONDS = 2, 12, 20.0  # steps left out; steps measured, fewer where they take longer than this


@dataclass(frozen=True)
class DryRun:
    """What a training would be.

    Attributes:
        network: its name.
        parameters: of it, trainable or not.
        macs: multiply-accumulates per image, forward.
        images: by part of the data.
        classes: names.
        batch: (B, 3, H, W) of a training step's images.
        shapes: by stage, (B, …) of what it returns.
        notes: what was decided about data, recipe and weights, sentences.
        memory_bytes: of a training step at its peak, by the memory model, in one process that holds everything.
        divisible_bytes: of parameters, gradients and optimizer state, which `shard` divides by the number of processes.
        free_bytes: that are free now; None where that is not known.
        epochs: of the run.
        steps: optimizer steps of the run.
        steps_per_epoch: of a whole epoch.
        learning_rate: the peak of the schedule.
        measured_steps: whose time was measured, the first two left out.
        seconds_per_step: mean, input included.
        images_per_second: of training.
        seconds_per_epoch: training and validation.
        seconds: of the whole run, the final report included; what comes before the first step is left out.
        preparing_seconds: that opening the data, and the searches that were asked for, took now.
        computed_with: device, precision, layout, kernels.
        rate_search: a search of the learning rate, where one was asked for.
        first_batch: content of a PNG file.
    """

    network: str
    parameters: int
    macs: int
    images: dict[str, int]
    classes: tuple[str, ...]
    batch: tuple[int, ...]
    shapes: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]
    memory_bytes: int
    divisible_bytes: int
    free_bytes: int | None
    epochs: int
    steps: int
    steps_per_epoch: int
    learning_rate: float
    measured_steps: int
    seconds_per_step: float
    images_per_second: float
    seconds_per_epoch: float
    seconds: float
    preparing_seconds: float
    computed_with: dict[str, Any]
    rate_search: RateSearch | None
    first_batch: bytes = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the picture, as JSON values."""
        document = asdict(self)
        del document["first_batch"]
        return document | {"rate_search": self.rate_search and self.rate_search.to_dict()}


def dry_run(
    data: str | Path,
    model: str | Spec | None = None,
    recipe: str | Path | Recipe | None = None,
    *,
    progress: bool = True,
    data_dir: Path | None = None,
    labels: str | Path | None = None,
    columns: ColumnNames = None,
    groups: str | None = None,
    model_edits: dict[str, Any] | None = None,
    weights: str | Path | None = None,
    corrections: str | Path | None = None,
    find_rate: bool = False,
    teacher: str | Path | Sequence[str | Path] | None = None,
    **overrides: Any,
) -> DryRun:
    """Try a training: open the data, do a few steps on a network that is thrown away, and estimate the rest.

    The arguments are those of `residua.train`. No run folder is made; decoded images are cached as ever.

    Raises:
        InputError: as `residua.train`, before its first step.
        Interrupted: a signal came.
    """
    request = ask(
        data,
        model,
        recipe,
        "dry-run",
        resume=False,
        data_dir=data_dir,
        table=label_table(labels, columns, groups),
        model_edits=model_edits,
        weights=weights,
        corrections=corrections,
        find_rate=find_rate,
        teacher=teacher,
        **overrides,
    )
    if request.recipes.large.probe_views:
        raise InputError(
            f"a dry run with probe_views={request.recipes.large.probe_views}",
            "a training in steps, which a probe is not",
            "Train it: a probe takes the time of few passes over the images",
        )
    with Display(progress) as display, StopRequest("") as stop:
        started = time.perf_counter()
        plan, search = settled_plan(request, display, stop)
        preparing = time.perf_counter() - started
        # The run may be shorter than the trial: its epochs then repeat.
        trainer = Trainer(dataclasses.replace(plan, total_steps=_WARM_UP + _STEPS), Display(False))
        trainer.begin()
        picture = batch_picture(next(iter(plan.train.epoch(0))), plan.preprocess, plan.dataset.classes)
        steps, per_step = _timed_steps(trainer)
        return _outcome(plan, trainer, search, picture, steps=steps, per_step=per_step, preparing=preparing)


def _outcome(
    plan: Plan,
    trainer: Trainer,
    search: RateSearch | None,
    picture: bytes,
    *,
    steps: int,
    per_step: float,
    preparing: float,
) -> DryRun:
    recipe, size = plan.recipe, plan.recipe.image_size
    anatomy = inspect(plan.spec, (plan.spec.in_channels, size, size), batch=recipe.batch_size)
    images = {name: len(split) for name, split in plan.dataset.splits.items()}
    memory = step_memory(plan.spec, recipe, recipe.batch_size)
    per_image = _seconds_to_judge(trainer)
    validation = per_image * images.get(recipe.validate_on, 0)
    per_epoch = plan.steps_per_epoch * per_step + validation
    report = per_image * images[plan.dataset.held_out]
    return DryRun(
        network=plan.spec.name,
        parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        macs=anatomy.macs,
        images=images,
        classes=tuple(plan.dataset.classes),
        batch=(recipe.batch_size, 3, size, size),
        shapes={stage.name: (recipe.batch_size, *stage.output) for stage in anatomy.stages},
        notes=(*plan.dataset.notes, *plan.request.notes_for(images["train"])),
        memory_bytes=memory.peak,
        divisible_bytes=memory.parameters + memory.gradients + memory.optimizer_state,
        free_bytes=free_memory(plan.hardware.device),
        epochs=recipe.epochs,
        steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
        learning_rate=recipe.learning_rate,
        measured_steps=steps,
        seconds_per_step=per_step,
        images_per_second=recipe.batch_size * recipe.accumulate_steps / per_step,
        seconds_per_epoch=per_epoch,
        seconds=plan.total_steps * per_step + recipe.epochs * validation + report,
        preparing_seconds=preparing,
        computed_with=trainer.computed_with(),
        rate_search=search,
        first_batch=picture,
    )


def _timed_steps(trainer: Trainer) -> tuple[int, float]:
    """Do a few steps; return how many were measured and the mean seconds of one, input included."""
    ends = [time.perf_counter()]
    while len(ends) <= _WARM_UP + _STEPS and ends[-1] - ends[0] < _SECONDS:
        for group in trainer.groups():
            trainer.step(group)
            _wait(trainer)
            ends.append(time.perf_counter())
            if ends[-1] - ends[0] >= _SECONDS:
                break
        trainer.state.epoch, trainer.state.step = trainer.state.epoch + 1, 0
    # One step may have taken all the time.
    skipped = min(_WARM_UP, len(ends) - 2)
    measured = len(ends) - 1 - skipped
    return measured, (ends[-1] - ends[skipped]) / measured


def _seconds_to_judge(trainer: Trainer) -> float:
    """Return the seconds per image of a validation, measured on the first training batch."""
    batch = next(iter(trainer.plan.train.epoch(0)))
    trainer.model.eval()
    with torch.no_grad(), trainer.hardware.autocast():
        trainer.model(batch.images)
        _wait(trainer)
        started = time.perf_counter()
        trainer.model(batch.images)
        _wait(trainer)
    return (time.perf_counter() - started) / len(batch.images)


def _wait(trainer: Trainer) -> None:
    if trainer.plan.hardware.device.type == "cuda":
        torch.cuda.synchronize()
