"""The numbers of a run that are not tensors, and the rules that need only numbers: best, plateau, early stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from residua._base.errors import InputError
from residua._base.json_file import mismatch
from residua._base.words import clock
from residua.training.recipe import Recipe

_PLATEAU_MARGIN = 1e-4  # a smaller fall of the loss counts as standing still, as in Keras


@dataclass
class State:
    """Plain values, which JSON holds exactly.

    Attributes:
        epoch: epochs completed.
        step: optimizer steps done in the current epoch.
        loss_sum: of the current epoch, over images.
        images: trained on in the current epoch.
        train_seconds: spent on them.
        seconds: of the whole run; kills and pauses left out.
        plateau_scale: factor that the plateau rule puts on the schedule.
        plateau_best: lowest validation loss that the rule has seen.
        plateau_wait: epochs since.
        best_epoch: the epoch with the best validation, counted from 1; 0 before there is one.
        best_top1: its accuracy, fraction of 1; of several labels an image the share of exact matches.
        best_score: what the recipe's `keep_by` measured of it, fraction of 1.
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
    best_score: float = 0.0
    best_loss: float = 0.0
    stopped_early: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> State:
        """Return the state that a checkpoint holds as JSON.

        Raises:
            InputError: a field is unknown, missing or of the wrong type.
        """
        known = get_type_hints(cls)
        # Runs that were begun before it chose by accuracy.
        fields = {"best_score": fields.get("best_top1"), **fields}
        if fields.keys() != known.keys():
            raise InputError(
                f"the fields {sorted(fields)}",
                f"the fields {sorted(known)}",
                "Resume from an older checkpoint, or begin the run again",
            )
        for name, kind in known.items():
            if reason := mismatch(fields[name], kind, name):
                raise InputError(
                    f"a state of which {reason}",
                    "the state of a run",
                    "Resume from an older checkpoint, or begin the run again",
                )
        return cls(**fields)

    @property
    def loss(self) -> float:
        """Mean training loss of the current epoch.

        Label smoothing, mixup and cutmix are in it, augmentation too, and the weighted losses of auxiliary classifiers
        where the network has them (`training.step.loss`). Do not compare it with a validation loss, which is the main
        classifier's alone.
        """
        return self.loss_sum / max(1, self.images)

    @property
    def images_per_second(self) -> float:
        """Speed of training in the current epoch."""
        return self.images / max(1e-9, self.train_seconds)

    def spend(self, seconds: float, *, training: bool) -> None:
        """Add time to the epoch."""
        self.seconds += seconds
        if training:
            self.train_seconds += seconds

    def rank(self, recipe: Recipe, top1: float, loss: float, score: float | None = None) -> bool:
        """Record the validation of the current epoch; return whether it is the best so far.

        Args:
            recipe: has the rules.
            top1: accuracy.
            loss: decides between equal scores.
            score: what `recipe.keep_by` measured; None for the accuracy.
        """
        number, score = self.epoch + 1, top1 if score is None else score
        best = not self.best_epoch or (score, -loss) > (self.best_score, -self.best_loss)
        if best:
            self.best_epoch, self.best_top1, self.best_score, self.best_loss = number, top1, score, loss
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
        validation: dict[str, float | int] | None,
        sample: dict[str, float | int] | None = None,
    ) -> None:
        """Add a line to the history and begin the next epoch.

        Args:
            step: optimizer steps done in all.
            rate: learning rate of the last of them.
            validation: loss, top1 and balanced_accuracy of the validation, None when there is no validation split; of
                several labels an image loss, mean_average_precision and macro_f1.
            sample: the same of the training images that the recipe has measured.
        """
        line = {
            "epoch": self.epoch + 1,
            "step": step,
            "train_loss": self.loss,
            "val_loss": validation["loss"] if validation else None,
            **_rates(validation, sample),
            "learning_rate": rate,
            "images_per_second": round(self.images_per_second, 1),
            "seconds": round(self.seconds, 3),
        }
        if not all(math.isfinite(value) for value in line.values() if value is not None):
            raise AssertionError(f"a line of the history is not finite: {line}")
        self.history.append(line)
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.images, self.train_seconds = 0.0, 0, 0.0


def _rates(
    validation: dict[str, float | int] | None, sample: dict[str, float | int] | None
) -> dict[str, float | int | None]:
    """Return the rates of a line of the history."""
    if validation and "mean_average_precision" in validation:
        measured = {f"val_{name}": validation[name] for name in ("mean_average_precision", "macro_f1")}
        of_sample = {"train_mean_average_precision": sample["mean_average_precision"]} if sample else {}
        return {**measured, **of_sample}
    return {
        "val_top1": validation["top1"] if validation else None,
        **({"val_balanced_accuracy": validation["balanced_accuracy"]} if validation else {}),
        **({"train_top1": next(sample[key] for key in ("top1", "exact_match") if key in sample)} if sample else {}),
    }


@dataclass(frozen=True)
class Moment:
    """Where a run stands.

    Attributes:
        epoch: being trained, counted from 1.
        epochs: in all.
        step: optimizer steps done.
        steps: in all.
        loss: mean training loss of the epoch so far.
        val_top1: validation accuracy after the epoch before, fraction of 1; None before the first. Of several labels an
            image it is the mean average precision.
        images_per_second: of training, in this epoch.
        seconds_left: estimated.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    val_top1: float | None
    images_per_second: float
    seconds_left: float

    @classmethod
    def of(cls, state: State, val_top1: float | None, epochs: int, step: int, steps: int) -> Moment:
        """Return the moment of a state, the rest of the run at its speed so far."""
        left = (steps - step) * state.seconds / max(1, step)
        return cls(state.epoch + 1, epochs, step, steps, state.loss, val_top1, state.images_per_second, left)

    @property
    def share(self) -> float:
        """The part of the run that is done, a fraction of 1."""
        return self.step / max(1, self.steps)

    def __str__(self) -> str:
        accuracy = "-" if self.val_top1 is None else f"{self.val_top1:.1%}"
        return (
            f"epoch {self.epoch}/{self.epochs}  step {self.step}/{self.steps}  loss {self.loss:.4f}  "
            f"val {accuracy}  {self.images_per_second:,.0f} images/s  ETA {clock(self.seconds_left)}"
        )
