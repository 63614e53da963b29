"""The numbers of a run that are not tensors, and the rules that only need numbers: best, plateau, early stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from residua.training.recipe import Recipe

_PLATEAU_MARGIN = 1e-4  # a smaller fall of the loss counts as standing still, as in Keras


@dataclass
class State:
    """Plain values, which JSON holds exactly.

    Attributes:
        epoch: epochs completed.
        step: optimizer steps done in the epoch at hand.
        loss_sum: of the epoch at hand, over images.
        images: trained on in the epoch at hand.
        train_seconds: spent on them.
        seconds: of the whole run; kills and pauses left out.
        plateau_scale: factor that the plateau rule puts on the schedule.
        plateau_best: lowest validation loss that the rule has seen.
        plateau_wait: epochs since.
        best_epoch: the epoch with the best validation, counted from 1; 0 before there is one.
        best_top1: its accuracy, fraction of 1.
        best_loss: its loss, which decides between equal accuracies.
        stopped_early: the early-stop rule has ended the run.
        history: the lines of history.jsonl.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    train_seconds: float = 0.0
    seconds: float = 0.0
    plateau_scale: float = 1.0
    plateau_best: float | None = None
    plateau_wait: int = 0
    best_epoch: int = 0
    best_top1: float = 0.0
    best_loss: float = 0.0
    stopped_early: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """Mean training loss of the epoch at hand.

        Label smoothing, mixup and cutmix are in it, augmentation too, and the weighted losses of auxiliary classifiers
        where the network has them (`training.step.loss`): it is not to be compared with a validation loss, which
        is the main classifier's alone.
        """
        return self.loss_sum / max(1, self.images)

    @property
    def images_per_second(self) -> float:
        """Speed of training in the epoch at hand."""
        return self.images / max(1e-9, self.train_seconds)

    def spend(self, seconds: float, *, training: bool) -> None:
        """Book time."""
        self.seconds += seconds
        if training:
            self.train_seconds += seconds

    def judge(self, recipe: Recipe, top1: float, loss: float) -> bool:
        """Take note of the validation of the epoch at hand; return whether it is the best so far."""
        number = self.epoch + 1
        best = not self.best_epoch or (top1, -loss) > (self.best_top1, -self.best_loss)
        if best:
            self.best_epoch, self.best_top1, self.best_loss = number, top1, loss
        if recipe.early_stop_epochs and number - self.best_epoch >= recipe.early_stop_epochs:
            self.stopped_early = True
        if self.plateau_best is None or loss < self.plateau_best - _PLATEAU_MARGIN:
            self.plateau_best, self.plateau_wait = loss, 0
            return best
        self.plateau_wait += 1
        if recipe.plateau_factor and self.plateau_wait >= recipe.plateau_patience:
            self.plateau_scale, self.plateau_wait = self.plateau_scale * recipe.plateau_factor, 0
        return best

    def end_epoch(
        self,
        step: int,
        rate: float,
        found: dict[str, float | int] | None,
        sample: dict[str, float | int] | None = None,
    ) -> None:
        """Add a line to the history and begin the next epoch.

        Args:
            step: optimizer steps done in all.
            rate: learning rate of the last of them.
            found: loss and top1 of the validation, None when there is no validation split.
            sample: the same of the training images that the recipe has measured.
        """
        line = {
            "epoch": self.epoch + 1,
            "step": step,
            "train_loss": self.loss,
            "val_loss": found["loss"] if found else None,
            "val_top1": found["top1"] if found else None,
            **({"train_top1": sample["top1"]} if sample else {}),
            "learning_rate": rate,
            "images_per_second": round(self.images_per_second, 1),
            "seconds": round(self.seconds, 3),
        }
        if not all(math.isfinite(value) for value in line.values() if value is not None):
            raise AssertionError(f"a line of the history is not finite: {line}")
        self.history.append(line)
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.images, self.train_seconds = 0.0, 0, 0.0
