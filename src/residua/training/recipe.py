"""The recipe: everything that decides a training run besides the data and the network, as one frozen value."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from residua._base.errors import InputError, did_you_mean
from residua.specs.augment import AugmentSpec


@dataclass(frozen=True)
class Recipe:
    """How to train. A field that is 0 (or empty) where 0 makes no sense of its own is switched off.

    Attributes:
        name: what the recipe is called.
        epochs: passes over the training images; 0 leaves the length to `max_steps`.
        max_steps: upper limit of optimizer steps; 0 for none.
        min_steps: small data gets as many more epochs as this number of optimizer steps needs; 0 for none.
        batch_size: images in one forward pass.
        accumulate_steps: forward passes that share one optimizer step.
        optimizer: "sgd", "adamw" (decay decoupled from the gradient) or "adam" (decay added to the gradient).
        learning_rate: the peak of the schedule.
        momentum: of SGD; the first beta of Adam and AdamW.
        nesterov: SGD looks one momentum step ahead.
        weight_decay: L2 coefficient per step, as torch.optim defines it.
        decay_norm_and_bias: whether norms and biases decay too.
        schedule: "constant", "cosine", "step" (times `gamma` at each milestone) or "one_cycle" (a line up during
            warm-up, a line down to `final_learning_rate`).
        warmup_epochs: length of the linear rise from near 0 (one_cycle: from 1/25 of the peak), in epochs.
        milestones: epochs completed before each drop of the step schedule.
        milestone_steps: the same in optimizer steps; give one of the two.
        gamma: factor of a drop: one number for all milestones, or one for each.
        final_learning_rate: where cosine and one_cycle end.
        plateau_factor: multiplies the schedule when the validation loss has stood still; 0 for never.
        plateau_patience: epochs of standing still that it takes.
        min_learning_rate: floor under drops of the plateau rule.
        label_smoothing: mass that moves from the true class to all classes alike (Szegedy 2015, section 7).
        ema_decay: decay per step of an average of the weights, which then is validated and kept; 0 for none.
        freeze: what stands still, weights and statistics: "backbone" (all but the head), everything up to the end of
            a stage or end point such as "layer2", or a number of parts from the image on; "" for nothing.
        layer_decay: each part of the network learns at this factor times the rate of the part behind it, the
            classifier at the whole rate (ELECTRA, Clark 2020; BEiT, Bao 2021); 1 for the same rate everywhere.
        clip_norm: largest norm of the whole gradient; 0 for no limit.
        early_stop_epochs: stop after so many epochs without a better validation accuracy; 0 for never.
        keep: which weights become the run's: "best" (by validation accuracy) or "last".
        precision: "auto", "fp32" or "bf16" (autocast).
        channels_last: memory layout: "auto", "yes" or "no".
        compile: run the network through torch.compile.
        engine: "auto", "eager" or "native" (fused CPU kernels).
        image_size: side of the network's input, pixels; 0 for the network's own.
        val_fraction: part of the training images set aside when the data has no validation split.
        train_images: train on at most so many images, as many of each class, drawn by the seed; 0 for all.
        measure_train: so many training images, as many of each class, are measured after each epoch as the validation
            images are, without augmentation (`train_top1` in the history); 0 for none.
        workers: threads that decode; 0 for one per core.
        device: "auto", "cpu", "cuda" or "cuda:N".
        seed: decides initial weights, order, augmentation and the validation split.
        checkpoint_every_steps: optimizer steps between checkpoints; 0 for none by this rule.
        checkpoint_every_minutes: minutes between checkpoints; 0 for none by this rule.
        keep_checkpoints: how many of the newest are kept.
        on_bad: what a corrupt image does: "refuse" or "skip" (left out and counted).
        augment: what happens at random to training images; crop="auto" suits the image size.
    """

    name: str = "custom"
    epochs: int = 10
    max_steps: int = 0
    min_steps: int = 0
    batch_size: int = 128
    accumulate_steps: int = 1
    optimizer: Literal["sgd", "adamw", "adam"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_norm_and_bias: bool = True
    schedule: Literal["constant", "cosine", "step", "one_cycle"] = "constant"
    warmup_epochs: float = 0.0
    milestones: tuple[int, ...] = ()
    milestone_steps: tuple[int, ...] = ()
    gamma: tuple[float, ...] = (0.1,)
    final_learning_rate: float = 0.0
    plateau_factor: float = 0.0
    plateau_patience: int = 5
    min_learning_rate: float = 0.0
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    freeze: str = ""
    layer_decay: float = 1.0
    clip_norm: float = 0.0
    early_stop_epochs: int = 0
    keep: Literal["best", "last"] = "last"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: Literal["auto", "yes", "no"] = "auto"
    compile: bool = False
    engine: Literal["auto", "eager", "native"] = "auto"
    image_size: int = 0
    val_fraction: float = 0.1
    train_images: int = 0
    measure_train: int = 0
    workers: int = 0
    device: str = "auto"
    seed: int = 0
    checkpoint_every_steps: int = 0
    checkpoint_every_minutes: float = 5.0
    keep_checkpoints: int = 2
    on_bad: Literal["refuse", "skip"] = "refuse"
    augment: AugmentSpec = field(default_factory=AugmentSpec)

    def __post_init__(self) -> None:
        for key, wanted in field_types(Recipe).items():
            object.__setattr__(self, key, checked(key, getattr(self, key), wanted))
        for key, (low, high) in _RANGES.items():
            value, example = getattr(self, key), _ABOVE.get(key)
            if not (math.isfinite(value) and low <= value <= high) or (example and value == low):
                span = f"{low:g} {'<' if example else '<='} {key}" + (f" <= {high:g}" if high < math.inf else "")
                remedy = f"For example --{_flag(key)} {example}" if example else f"Give --{_flag(key)} another value"
                raise InputError(f"{key}={value}", f"a finite number, {span}", remedy)
        _consistent(self)


_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (0, math.inf),
    "max_steps": (0, math.inf),
    "min_steps": (0, math.inf),
    "batch_size": (1, math.inf),
    "accumulate_steps": (1, math.inf),
    "learning_rate": (0, math.inf),
    "momentum": (0, 1),
    "weight_decay": (0, math.inf),
    "warmup_epochs": (0, math.inf),
    "final_learning_rate": (0, math.inf),
    "plateau_factor": (0, 1),
    "plateau_patience": (0, math.inf),
    "min_learning_rate": (0, math.inf),
    "label_smoothing": (0, 1),
    "ema_decay": (0, 1),
    "layer_decay": (0, 1),
    "clip_norm": (0, math.inf),
    "early_stop_epochs": (0, math.inf),
    "image_size": (0, math.inf),
    "val_fraction": (0, 0.9),
    "train_images": (0, math.inf),
    "measure_train": (0, math.inf),
    "workers": (0, math.inf),
    "seed": (0, 2**63 - 1),
    "checkpoint_every_steps": (0, math.inf),
    "checkpoint_every_minutes": (0, math.inf),
    "keep_checkpoints": (1, math.inf),
}
_ABOVE = {"learning_rate": "0.1", "layer_decay": "0.75"}  # not the lower end itself; an example of each


def _consistent(recipe: Recipe) -> None:
    if not recipe.epochs and not recipe.max_steps:
        raise InputError("epochs=0 and max_steps=0", "a length of the run", "Give --epochs or --max-steps")
    if recipe.milestones and recipe.milestone_steps:
        raise InputError("both milestones and milestone_steps", "one of the two", "Set the other to []")
    drops = recipe.milestones or recipe.milestone_steps
    if list(drops) != sorted(set(drops)) or any(drop < 1 for drop in drops):
        sorted_drops = sorted({drop for drop in drops if drop >= 1})
        raise InputError(f"milestones {list(drops)}", "rising numbers from 1 on", f"Perhaps {sorted_drops} is meant")
    if bool(drops) != (recipe.schedule == "step"):
        raise InputError(
            f"schedule={recipe.schedule!r} with milestones {list(drops)}",
            "milestones or milestone_steps exactly when the schedule is 'step'",
            "Set the milestones to []" if drops else "Give --milestones 60,120 or another --schedule",
        )
    if len(recipe.gamma) not in {1, len(drops)} or any(not 0 < factor <= 1 for factor in recipe.gamma):
        raise InputError(
            f"gamma={list(recipe.gamma)} for {len(drops)} milestones",
            "one factor in (0, 1], or one for each milestone",
            "For example --gamma 0.1",
        )
    if recipe.nesterov and (recipe.optimizer != "sgd" or recipe.momentum == 0):
        raise InputError(
            f"nesterov with {recipe.optimizer} and momentum {recipe.momentum:g}",
            "sgd with momentum > 0",
            "Use --no-nesterov" if recipe.optimizer != "sgd" else "Use --momentum 0.9 or --no-nesterov",
        )
    for key in ("momentum", "ema_decay", "plateau_factor", "label_smoothing"):
        if getattr(recipe, key) == 1:
            raise InputError(f"{key}=1", f"{key} < 1", f"Give a smaller --{_flag(key)}")
    device = recipe.device
    index = device.removeprefix("cuda:")
    if device not in {"auto", "cpu", "cuda"} and not (device.startswith("cuda:") and index.isdecimal()):
        raise InputError(f"device={device!r}", "'auto', 'cpu', 'cuda' or 'cuda:N'", "For example --device cpu")


def field_types(kind: type) -> dict[str, Any]:
    """Return the resolved annotation of each field of a dataclass, in order."""
    hints = get_type_hints(kind)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(kind)}


def checked(key: str, value: Any, wanted: Any) -> Any:
    """Return `value` as the annotation `wanted` has it (an int serves as a float, a list as a tuple).

    Raises:
        InputError: the value is of another type, or none of the choices of a Literal.
    """
    if get_origin(wanted) is Literal:
        choices = get_args(wanted)
        if value not in choices or not isinstance(value, str):
            listed = ", ".join(repr(choice) for choice in choices)
            raise InputError(f"{key}={value!r}", f"one of {listed}", did_you_mean(str(value), choices, 1))
        return value
    if get_origin(wanted) is tuple:
        entries = get_args(wanted)
        items = [value] if isinstance(value, int | float) and not isinstance(value, bool) else value
        fixed = entries[-1] is not Ellipsis
        if not isinstance(items, list | tuple) or (fixed and len(items) != len(entries)):
            raise InputError(f"{key}={value!r}", _words(wanted))
        return tuple(checked(key, item, entries[0]) for item in items)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise InputError(f"{key}={value!r}", _words(wanted))
    return value


def parsed(key: str, text: str, wanted: Any) -> Any:
    """Return the value that a word of a command line means for a field: "0.1", "yes", "60,120"."""
    try:
        if get_origin(wanted) is tuple:
            kind = get_args(wanted)[0]
            return tuple(kind(part) for part in text.strip("[]() ").replace(",", " ").split())
        if wanted is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        return wanted(text) if wanted in (int, float) else text
    except (ValueError, KeyError):
        raise InputError(f"--{_flag(key)} {text}", _words(wanted)) from None


def _words(wanted: Any) -> str:
    if get_origin(wanted) is tuple:
        entries = get_args(wanted)
        count = "" if entries[-1] is Ellipsis else f"{len(entries)} "
        return f"a list of {count}{'whole numbers' if entries[0] is int else 'numbers'}"
    plain: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return plain.get(wanted, f"a value of type {getattr(wanted, '__name__', wanted)}")


def _flag(key: str) -> str:
    return key.replace("_", "-")
