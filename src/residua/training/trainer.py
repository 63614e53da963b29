"""The trainer: the network, what trains it, and every piece of state that a checkpoint must hold."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from residua._base.console import Display
from residua._base.signals import StopRequest
from residua.data.loader import Batch, Loader
from residua.data.random import step_seed
from residua.evaluation.measures.metrics import NotFinite
from residua.evaluation.quick_metrics import quick_metrics
from residua.families.build import build
from residua.runtime.distributed.batch_norm import synchronise
from residua.runtime.distributed.group import ALONE, Group
from residua.training.console.outcome import Diverged, verdict
from residua.training.distributed.gradients import Gradients
from residua.training.distributed.joint import JointPass
from residua.training.folder.checkpoint import (
    Checkpoint,
    all_finite,
    epoch_path,
    list_checkpoints,
    save_checkpoint,
    save_weights,
)
from residua.training.folder.run_folder import write_history
from residua.training.initial_weights import load_initial
from residua.training.plan import Plan
from residua.training.profile import Watch, unwatched
from residua.training.start import sentences
from residua.training.state import Moment, State
from residua.training.step.balance import balance_for
from residua.training.step.freeze import frozen
from residua.training.step.generators import seed_generators
from residua.training.step.kernels import choose_kernels, compiled_steps
from residua.training.step.label_kind import BY_RANK, MEASURES
from residua.training.step.loss import training_loss
from residua.training.step.losses import LossReader
from residua.training.step.optim import (
    Average,
    build_optimizer,
    learning_rate,
    optimizer_tensors,
    set_learning_rate,
)

if TYPE_CHECKING:
    from residua.runtime.distributed.shards import Shards

_SAVING_SHARE = 0.05  # at most this share of the time goes into checkpoints at the ends of epochs


class Trainer:
    """Does the steps of a run; `residua.training.loop` decides their order."""

    def __init__(self, plan: Plan, display: Display, group: Group = ALONE) -> None:
        self.plan, self.display, self.group, self.state = plan, display, group, State()
        recipe, hardware = plan.recipe, plan.hardware
        # Every batch has one shape, so measuring once which convolution is fastest pays.
        torch.backends.cudnn.benchmark = hardware.device.type == "cuda"
        torch.manual_seed(recipe.seed)
        self.model = hardware.place(build(plan.spec))
        # Specs of networks without auxiliary classifiers lack the field.
        self.aux_weight: float = getattr(plan.spec, "aux_weight", 0.0)
        self.multilabel = plan.dataset.multilabel
        self.balance = balance_for(recipe, plan.train, hardware.device)
        self.frozen = frozen(plan.spec, recipe.freeze)
        self.frozen.apply(self.model)
        self.sharded = recipe.shard and group.count > 1
        self.shards: Shards | None = None
        synced = recipe.sync_norm and group.count > 1 and synchronise(self.model)
        self.kernels, self.hardware = choose_kernels(
            self.model, recipe, hardware, plan.arithmetic, sharded=self.sharded
        )
        self.gradients = Gradients(self.model, group, average_statistics=not synced, sharded=self.sharded)
        compiles = recipe.compile or self.kernels.name == "compiled"
        self._forward = compiled_steps(self.model) if compiles else self.model
        self.optimizer = build_optimizer(self.model, recipe)
        self.average = Average(self.model, recipe.ema_decay) if recipe.ema_decay else None
        self.best: dict[str, Tensor] = {}
        self._final: dict[str, Tensor] = {}
        self.watch: Watch = unwatched
        self._losses = LossReader(hardware.device)
        self._clock = self._saved_at = time.perf_counter()
        self._saving_seconds = 0.0

    def begin(self) -> None:
        """Load the weights that the run begins with, where it does not begin with those drawn from its seed; state it.

        Raises:
            InputError: they are not available, or differ from those that were asked for.
        """
        initial, missing = self.plan.request.initial_weights, self.plan.request.missing_weights
        if missing:
            self.display.warn(missing)
        if initial is None:
            return
        loaded = load_initial(initial, self.model, self.plan.dataset.classes)
        for sentence in sentences(loaded, initial, self.plan.spec.name, self.plan.preprocess.side):
            self.display.say(sentence)
        if self.average:
            self.average = Average(self.model, self.plan.recipe.ema_decay)

    @property
    def global_step(self) -> int:
        """Optimizer steps done in all."""
        # `max_steps` may have ended the last epoch early.
        return min(self.state.epoch * self.plan.steps_per_epoch + self.state.step, self.plan.total_steps)

    @property
    def done(self) -> bool:
        """Whether training has come to its end."""
        return self.state.epoch >= self.plan.recipe.epochs or self.state.stopped_early

    def groups(self) -> Iterator[list[Batch]]:
        """Yield the batches of each remaining optimizer step of the current epoch."""
        plan, many = self.plan, self.plan.recipe.accumulate_steps
        left = min(plan.steps_per_epoch - self.state.step, plan.total_steps - self.global_step)
        self._clock = time.perf_counter()
        if left > 0:
            batches = iter(plan.train.epoch(self.state.epoch, self.state.step * many))
            for _ in range(left):
                with self.watch("data"):
                    group = list(islice(batches, many))
                yield group

    def step(self, group: list[Batch]) -> None:
        """Do one optimizer step on the batches that share it."""
        plan, recipe, number = self.plan, self.plan.recipe, self.global_step
        # Dropout inside the network draws from here: no generator's state needs saving.
        seed_generators(step_seed(recipe.seed, number, self.group.rank), plan.hardware.device)
        set_learning_rate(self.optimizer, self.rate(number))
        self.optimizer.zero_grad(set_to_none=True)
        alone = self.group.count == 1
        images = sum(len(batch.images) for batch in group) if alone else len(group) * plan.train.batch_images
        total = torch.zeros((), device=plan.hardware.device)
        for batch in group:
            with self.watch("forward"):
                with self.hardware.autocast():
                    output = self._forward(batch.images)
                loss = training_loss(
                    output,
                    batch.labels,
                    label_smoothing=recipe.label_smoothing,
                    aux_weight=self.aux_weight,
                    balance=self.balance,
                    multilabel=self.multilabel,
                )
                if plan.teachers is not None:
                    loss = plan.teachers.blend(loss, output, batch.images)
                loss = loss * (len(batch.images) / images)
            total += loss.detach()
            with self.watch("backward"):
                if batch is group[-1]:
                    self.gradients.expect(total, len(batch.images) / plan.train.batch_images)
                loss.backward()  # type: ignore[no-untyped-call]
        with self.watch("update"):
            total = self.gradients.finish(total)
            if recipe.clip_norm:
                self.gradients.clip(self.model.parameters(), recipe.clip_norm)
            self.optimizer.step()
            if self.average:
                self.average.update(number)
        self.state.step += 1
        self._losses.add(total, images, number)
        # Several processes read at the same steps, so that they meet the same loss at the same time.
        self.read_losses(wait=self.group.count > 1 and self._losses.sent)

    def rate(self, number: int) -> float:
        """Return the learning rate of optimizer step `number`, the plateau rule included; 0 where none is done."""
        if self.plan.recipe.probe_views:
            return 0.0
        plan, scale = self.plan, self.state.plateau_scale
        rate = learning_rate(plan.recipe, number, total_steps=plan.total_steps, steps_per_epoch=plan.steps_per_epoch)
        return rate if scale == 1 else max(rate * scale, min(rate, plan.recipe.min_learning_rate))

    def read_losses(self, *, wait: bool = True) -> None:
        """Add the losses of the latest steps to the epoch's sum: all of them, or without `wait` those that are here.

        Raises:
            Diverged: one of them is NaN or infinite.
        """
        taken = self._losses.take(wait=wait)
        for value, images, number in taken:
            if not math.isfinite(value):
                raise self.diverged(f"the training loss is {value} at step {number + 1}", number)
            self.state.loss_sum += value * images
            self.state.images += images
        if taken or wait:
            self._book(training=True)

    def validate(self, stop: StopRequest) -> str:
        """End the epoch: validate, keep the best weights, add a line to the history; return how the accuracy moved.

        Raises:
            Stopped: a signal came; the epoch is not ended yet.
        """
        self.read_losses()
        metrics = self._measure(stop) if self.plan.val else None
        sample = self._measure(stop, self.plan.sample) if self.plan.sample else None
        rate = self.rate(max(0, self.global_step - 1))
        by = self.plan.recipe.keep_by
        before = self.state.best_score if self.state.best_epoch else None
        accuracy, shown = ("exact_match", BY_RANK) if self.multilabel else ("top1", "top1")
        improved = metrics is not None and self.state.rank(
            self.plan.recipe, metrics[accuracy], metrics["loss"], metrics[by]
        )
        if improved:
            self.best = {name: value.clone() for name, value in self.weights().items()}
        # Before the epoch ends: a run that is killed in between writes the same file again.
        if self.plan.recipe.keep == "every" and (whole := self._wholes(self.weights())):
            save_weights(epoch_path(self.plan.checkpoints, self.state.epoch + 1), whole)
        moved = verdict(before, metrics[by], improved, MEASURES[by]) if metrics else ""
        self._book(training=False)
        moment = self.moment(metrics[shown] if metrics else None)
        self.state.end_epoch(self.global_step, rate, metrics, sample)
        self.write_history()
        self.display.show(moment)
        return moved

    def _measure(self, stop: StopRequest, loader: Loader | None = None) -> dict[str, float | int]:
        loader = loader or self.plan.val
        assert loader is not None
        # Of divided weights a whole copy is measured, so that no process waits for the batches of another.
        network = self.shards.network(self.plan.spec, self.weights(), self.hardware) if self.shards else self.model
        with self.average.applied() if self.average and not self.shards else nullcontext():
            try:
                return quick_metrics(
                    network,
                    JointPass(loader, stop, self.group),
                    autocast=torch.bfloat16 if self.hardware.bf16 else None,
                    multilabel=self.multilabel,
                    gather=self.group.gathered,
                )
            except NotFinite as error:
                what = f"in the validation after step {self.global_step}, {error.given}"
                raise self.diverged(what, max(0, self.global_step - 1)) from None
            finally:
                self.frozen.hold(self.model)

    def collect(self) -> None:
        """Give the first process all weights as wholes, for the end of the run. All processes call it."""
        if self.shards:
            self.best, self._final = self._wholes(self.best), self._wholes(self.weights())

    def _wholes(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors as wholes in the first process, {} in the others; divided ones come to the CPU."""
        if self.shards:
            return self.shards.gathered(tensors, keep=self.group.main, on=torch.device("cpu"))
        return tensors if self.group.main else {}

    def weights(self) -> dict[str, Tensor]:
        """Return the weights as they stand: the average where there is one."""
        if self._final:
            return self._final
        if self.average:
            return self.average.tensors
        return {name: value.detach() for name, value in self.model.state_dict().items()}

    def moment(self, val_top1: float | None = None) -> Moment:
        """Return where the run stands, for the display."""
        if val_top1 is None and self.state.history:
            val_top1 = self.state.history[-1].get(f"val_{BY_RANK}" if self.multilabel else "val_top1")
        return Moment.of(self.state, val_top1, self.plan.recipe.epochs, self.global_step, self.plan.total_steps)

    def checkpoint_due(self) -> bool:
        """Return whether the recipe's rules (steps, minutes) ask for a checkpoint after this step."""
        recipe = self.plan.recipe
        if recipe.checkpoint_every_steps and self.global_step % recipe.checkpoint_every_steps == 0:
            return True
        minutes = (time.perf_counter() - self._saved_at) / 60
        return 0 < recipe.checkpoint_every_minutes <= minutes

    def cheap_to_save(self) -> bool:
        """Return whether one more checkpoint leaves the time spent on saving a small share of the whole."""
        return self._saving_seconds <= _SAVING_SHARE * (time.perf_counter() - self._saved_at)

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            Diverged: a weight is NaN or infinite; the last good checkpoint stays.
            InputError: the disk is full or refuses.
        """
        self.read_losses()
        started = time.perf_counter()
        point = self.snapshot()
        if not self.group.main:
            return
        if not all_finite(point.tensors):
            raise self.diverged(f"a weight is NaN or infinite after step {self.global_step}", self.global_step - 1)
        save_checkpoint(self.plan.checkpoints, point, keep=self.plan.recipe.keep_checkpoints)
        self._saved_at = time.perf_counter()
        self._saving_seconds = self._saved_at - started
        self._book(training=False)

    def snapshot(self) -> Checkpoint:
        """Return what a checkpoint holds; its tensors are the live ones, or wholes where those are divided."""
        parts = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
            "best": self.best,
            "average": self.average.tensors if self.average else {},
        }
        tensors = {f"{part}.{name}": value for part, named in parts.items() for name, value in named.items()}
        state = {
            "state": dataclasses.asdict(self.state),
            "computed_with": self.computed_with(),
            "left_out": self.plan.left_out,
        }
        return Checkpoint(self.global_step, self._wholes(tensors) if self.shards else tensors, state)

    def computed_with(self) -> dict[str, object]:
        """Return what decides the last bits of the result besides the plan."""
        processes = {"processes": self.group.count} if self.group.count > 1 else {}
        processes |= {"sharded": True} if self.sharded else {}
        return {**self.hardware.to_dict(), "kernels": self.kernels.name, "torch": torch.__version__, **processes}

    def write_history(self) -> None:
        """Write history.jsonl as the state has it: lines from after a checkpoint are cut off again."""
        if self.group.main:
            write_history(self.plan.folder, self.state.history)

    def diverged(self, what: str, step: int) -> Diverged:
        """Return the error that states what happened, at which learning rate, and what to try."""
        saved = "its last good checkpoint" if list_checkpoints(self.plan.checkpoints) else "no checkpoint"
        return Diverged(
            max(0, step),
            f"{what}; the learning rate was {self.rate(max(0, step)):.3g}",
            ", precision='fp32'" if self.hardware.bf16 else "",
            f"{self.plan.folder} keeps {saved}",
            f"Try learning_rate={self.plan.recipe.learning_rate / 4:.3g}, a longer warmup_epochs=5 or clip_norm=1",
        )

    def _book(self, *, training: bool) -> None:
        now = time.perf_counter()
        self.state.spend(now - self._clock, training=training)
        self._clock = now
