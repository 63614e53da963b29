"""The batch-size finder: the largest that fits by the memory model, confirmed by one step."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import torch

from residua._base.errors import InputError
from residua.anatomy.inspect import inspect
from residua.anatomy.memory import OptimizerName, TrainingMemory
from residua.families.build import build, outline
from residua.runtime.device import choose_hardware
from residua.specs.schema import Spec
from residua.training.recipe import Recipe
from residua.training.step.kernels import choose_kernels
from residua.training.step.loss import training_loss
from residua.training.step.memory import is_exhausted
from residua.training.step.optim import build_optimizer
from residua.training.trials.memory import free_memory

LEAST_STEPS = 20
"""Optimizer steps that an epoch keeps: with fewer, a network hardly learns, however much fits."""
_SHARE = 0.8  # of the free memory: the native kernels may take 1.1 times the model's bytes, and images come besides
_SMALLEST = 2  # batch normalisation needs two


@dataclass(frozen=True)
class BatchSearch:
    """The outcome of a search.

    Attributes:
        batch_size: a power of two.
        bytes: that a training step of it needs, by the memory model.
        free: bytes that were free; None where that is not known.
        limit: what a larger batch would have exceeded: "memory", or "steps" for fewer than 20 per epoch.
    """

    batch_size: int
    bytes: int
    free: int | None
    limit: str

    @property
    def sentence(self) -> str:
        """The outcome in one line."""
        free = "" if self.free is None else f" of {self.free / 1e9:,.1f} GB that are free"
        why = (
            "twice as many would not fit"
            if self.limit == "memory"
            else f"twice as many would leave fewer than {LEAST_STEPS} steps per epoch"
        )
        if self.batch_size == _SMALLEST:
            why = f"the fewest that batch normalisation takes, and {why}"
        return (
            f"Batches of {self.batch_size} images: a step needs about {self.bytes / 1e6:,.0f} MB{free}, as one step "
            f"has confirmed; {why}"
        )


def find_batch_size(spec: Spec, recipe: Recipe, images: int) -> BatchSearch:
    """Return the largest power of two that fits; the learning rate stays the recipe's.

    Args:
        spec: the network, with as many outputs as the data has classes.
        recipe: all but its batch size.
        images: to train on.

    Raises:
        InputError: not even two images fit.
    """
    hardware = choose_hardware(recipe.device)
    free = free_memory(hardware.device)
    most = max(_SMALLEST, images // (LEAST_STEPS * recipe.accumulate_steps))
    size, limit = 1 << (most.bit_length() - 1), "steps"
    while size >= _SMALLEST:
        needed = step_memory(spec, recipe, size).peak
        if (free is None or needed <= _SHARE * free) and _confirmed(spec, recipe, size):
            return BatchSearch(size, needed, free, limit)
        size, limit = size // 2, "memory"
    raise InputError(
        f"batch_size='auto' for {spec.name} at image_size={recipe.image_size}, of which not even two images fit",
        f"memory for a training step; {(free or 0) / 1e9:,.1f} GB are free",
        "Use a smaller image_size=64, or a smaller network",
    )


def step_memory(spec: Spec, recipe: Recipe, batch_size: int) -> TrainingMemory:
    """Return what a training step takes in one process, by the memory model (fp32, torch's own kernels)."""
    optimizer: OptimizerName = "sgd" if recipe.optimizer == "sgd" else "adam"
    shape = (spec.in_channels, recipe.image_size, recipe.image_size)
    return inspect(spec, shape, batch=batch_size, optimizer=optimizer).training


def _confirmed(spec: Spec, recipe: Recipe, batch_size: int) -> bool:
    """Return whether one step of noise fits; states of torch's generators stay as they are."""
    try:
        with torch.random.fork_rng():
            _step(spec, recipe, batch_size)
        return True
    except (MemoryError, RuntimeError) as error:
        if not is_exhausted(error):
            raise
        return False
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _step(spec: Spec, recipe: Recipe, batch_size: int) -> None:
    hardware = choose_hardware(
        recipe.device,
        recipe.precision,
        recipe.channels_last,
        trains_channels_last=outline(spec).trains_channels_last,
    )
    model = hardware.place(build(spec))
    _, hardware = choose_kernels(model, recipe, hardware)
    optimizer = build_optimizer(model, recipe)
    shape = (batch_size, spec.in_channels, recipe.image_size, recipe.image_size)
    images = torch.randn(shape, device=hardware.device).to(memory_format=hardware.memory_format)
    labels = torch.zeros(batch_size, dtype=torch.int64, device=hardware.device)
    with hardware.autocast():
        output = model(images)
    training_loss(output, labels).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    if hardware.device.type == "cuda":
        torch.cuda.synchronize()
