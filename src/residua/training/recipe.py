"""The recipe: everything that decides a training run besides the data and the network, as one frozen value."""

from __future__ import annotations

import functools
import warnings
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from residua._base.errors import InputError
from residua._base.words import quoted
from residua.runtime.device_name import check_device_name
from residua.specs.augment import AugmentSpec
from residua.specs.fields import MOST_PIXELS, BadPolicy, Length, Span, settle
from residua.specs.preprocess import Center, Std
from residua.specs.ranges import with_ranges

if TYPE_CHECKING:
    from residua.data.corrections import Corrections
    from residua.data.dataset import Dataset
    from residua.data.tables.label_table import LabelTable

# Far beyond every recipe, and small enough for what is counted and multiplied from them.
_MOST, _LARGE = 10**9, 1e6
Count = Annotated[int, Span(0, _MOST)]
OneOrMore = Annotated[int, Span(1, _MOST)]
Strength = Annotated[float, Span(0, _LARGE)]
Drop = Annotated[float, Span(0, 1, above=True)]
WeightsPolicy = Literal["none", "published", "required"]

# What may change between a run and its resumption. On the same kind of device none but `shard` moves a bit of the
# weights; that, a different kind, or a different set of images that decode is noticed when the checkpoint is restored.
FREE_FIELDS = (
    "name",
    "device",
    "shard",
    "workers",
    "on_bad",
    "checkpoint_every_steps",
    "checkpoint_every_minutes",
    "keep_checkpoints",
)


@with_ranges
@dataclass(frozen=True)
class Recipe:
    """How to train. A field that is 0 (or empty) where 0 makes no sense of its own is switched off.

    Attributes:
        name: what the recipe is called.
        weights: to begin with where none are named. "none": those drawn from the seed. "published": those of the
            catalog where they can be had. "required": the same, and without them the run is refused.
        epochs: passes over the training images; 0 leaves the length to `max_steps`.
        max_steps: upper limit of optimizer steps; 0 for none.
        min_steps: small data gets as many more epochs as this number of optimizer steps needs; 0 for none.
        batch_size: images in one forward pass. `train` also takes "auto" in its place: the largest power of two that
            fits and leaves 20 steps per epoch, which the recipe then holds.
        accumulate_steps: forward passes that share one optimizer step.
        optimizer: "sgd", "adamw" (decay decoupled from the gradient), "adam" (decay added to the gradient) or "muon"
            (Jordan 2024, of convolutions as matrices; all but them and inner matrices by `rest_optimizer`).
        rest_optimizer: of optimizer="muon": "sgd" or "adamw" for norms, biases and the classifier.
        rest_rate: of optimizer="muon": times the learning rate, the rate of the rest.
        learning_rate: the peak of the schedule.
        momentum: of SGD and Muon; the first beta of Adam and AdamW.
        nesterov: SGD and Muon look one momentum step ahead.
        epsilon: added to the root of Adam's and AdamW's second moment.
        weight_decay: L2 coefficient per step, as torch.optim defines it.
        decay_norm_and_bias: whether norms and biases decay too.
        decay_head: whether the classifier's weights decay too.
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
        distill_temperature: of a training with a teacher: what the logits of both are divided by (Hinton 2015).
        distill_weight: of a training with a teacher: its share of the loss; the labels have the rest.
        balance: what is done about classes of uneven size. "none". "loss": images count by the weight of their class.
            "sampler": every class is visited equally often, in epochs of the same length. "logits": the logarithm of
            each class's share is added to its logit while training, and left out after (Menon 2021). Of several labels
            an image "loss" alone is taken: a label weighs more where it is there.
        balance_beta: of balance="loss": weights are inverse to the effective number of images, (1 - β^n) / (1 - β)
            (Cui 2019); 1 for the inverse frequency.
        balance_tau: of balance="logits": the factor of what is added (Menon 2021, equation 10).
        ema_decay: decay per step of an average of the weights, which then is validated and kept; 0 for none.
        freeze: what stands still, weights and statistics: "backbone", all but the head; "layer2" or the like,
            everything up to the end of that stage or end point; a number of parts from the image on; "" for nothing.
        probe_views: 0 for training as usual. Else the network stands still, and the classifier is fitted to its
            features of so many views of each image, computed once; the first view is without augmentation.
        layer_decay: each part of the network learns at this factor times the rate of the part behind it, the
            classifier at the whole rate (ELECTRA, Clark 2020; BEiT, Bao 2021); 1 for the same rate everywhere.
        clip_norm: largest norm of the whole gradient; 0 for no limit.
        early_stop_epochs: stop after so many epochs without a better validation, by `keep_by`; 0 for never.
        keep: which weights become the run's: "best" (see `keep_by`), "last", or "every". With "every", a file
            for each epoch stays in checkpoints/ (never pruned), and the best, without validation the last, become the
            run's.
        keep_by: by what of the validation images the best epoch is chosen, and `early_stop_epochs` counts: "top1",
            "balanced_accuracy" (mean recall of the classes) or "macro_f1". Of several labels an image by
            "mean_average_precision", which then is the default, or "macro_f1". Equal values: the lower loss.
        precision: "auto", "fp32" or "bf16" (autocast).
        channels_last: memory layout: "auto", "yes" or "no".
        compile: run the network through torch.compile.
        sync_norm: with several processes, batch normalisation takes its statistics over the whole batch; else each
            process over its own images.
        shard: with several processes, each holds its share of parameters, gradients and optimizer state (FSDP2); else
            each holds all.
        kernels: that training computes with: "auto", "eager" (torch's own) or "native" (fused, for CPUs). With "auto" a
            long run on a CPU measures them, and of "auto" precision and layout too, on its first batches. Native ones
            multiply in bf16 where `precision` is "bf16", beside "native", or was measured so.
        image_size: side of the network's input, pixels; 0 for the network's own.
        begin_size: side of random resized crops in the first epoch, pixels, 16 or more; crop="pad" is refused. It grows
            in a line, in steps of 16, to `image_size`, which the last fifth of the epochs has, and evaluation always.
            0: `image_size` throughout.
        center: what is subtracted from images. "customary": the mean that the weights to begin with expect, else
            CIFAR-10's or ImageNet's. "channel" or "pixel": means of the training images. "image": its own mean. Or
            "none".
        std: what images are divided by then. "customary": as for `center`. "channel": deviations of the training
            images plus 1e-6. "image": its own plus 1e-6. Or "none".
        zca: whiten images by the training images' own covariance (Krizhevsky 2009, appendix A); for small images.
        zca_epsilon: keeps it from enlarging what hardly varies, as Keras defines it.
        val_fraction: part of the training images set aside when the data has no validation split.
        validate_on: "val", or "test" to choose epochs, learning rates and the best weights by the test images, as the
            Keras example does; what they then score is optimistic. Needs val_fraction=0.
        final_views: of the images in the final report: "1", "flip", or "flip_if_unsure" (see `evaluate`).
        folds: divide the training images into so many folds by the seed, classes and groups kept even; `fold` is held
            out in place of a share, and all folds in turn where it is 0 (a folder with a run per fold). 0 for none.
        fold: the fold that validates, from 1.
        train_images: train on at most so many images, as many of each class, drawn by the seed; 0 for all.
        shuffle_window: images of large data in shards are visited shard by shard, shuffled within windows of so many;
            0 for 16,384 where `residua pack` made shards of more than 4 million images or 16 GB, and for an order of
            all images elsewhere.
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

    name: Annotated[str, Length(200)] = "custom"
    weights: WeightsPolicy = "none"
    epochs: Count = 10
    max_steps: Count = 0
    min_steps: Count = 0
    batch_size: OneOrMore = 128
    accumulate_steps: OneOrMore = 1
    optimizer: Literal["sgd", "adamw", "adam", "muon"] = "sgd"
    rest_optimizer: Literal["sgd", "adamw"] = "sgd"
    rest_rate: Annotated[float, Span(0, _LARGE, above=True)] = 1.0
    learning_rate: Annotated[float, Span(0, _LARGE, above=True)] = 0.1
    momentum: Annotated[float, Span(0, 1, below=True)] = 0.9
    nesterov: bool = False
    epsilon: Annotated[float, Span(1e-12, 1, hint="torch's own is 1e-8")] = 1e-8
    weight_decay: Strength = 1e-4
    decay_norm_and_bias: bool = True
    decay_head: bool = True
    schedule: Literal["constant", "cosine", "step", "one_cycle"] = "constant"
    warmup_epochs: Strength = 0.0
    milestones: tuple[OneOrMore, ...] = ()
    milestone_steps: tuple[OneOrMore, ...] = ()
    gamma: Annotated[tuple[Drop, ...], Length(1000, 1)] = (0.1,)
    final_learning_rate: Strength = 0.0
    plateau_factor: Annotated[float, Span(0, 1, below=True)] = 0.0
    plateau_patience: Count = 5
    min_learning_rate: Strength = 0.0
    label_smoothing: Annotated[float, Span(0, 1, below=True)] = 0.0
    distill_temperature: Annotated[float, Span(0, 1000, above=True, hint="Hinton 2015 uses 1 to 20")] = 4.0
    distill_weight: Annotated[float, Span(0, 1)] = 0.9
    balance: Literal["none", "loss", "sampler", "logits"] = "none"
    balance_beta: Annotated[float, Span(0, 1, hint="Cui 2019 tries 0.9, 0.99, 0.999 and 0.9999")] = 1.0
    balance_tau: Annotated[float, Span(0, 100, above=True, hint="Menon 2021 uses 1")] = 1.0
    ema_decay: Annotated[float, Span(0, 1, below=True)] = 0.0
    freeze: Annotated[str, Length(200)] = ""
    probe_views: Annotated[int, Span(0, 1000)] = 0
    layer_decay: Annotated[float, Span(0, 1, above=True)] = 1.0
    clip_norm: Strength = 0.0
    early_stop_epochs: Count = 0
    keep: Literal["best", "last", "every"] = "last"
    keep_by: Literal["top1", "balanced_accuracy", "macro_f1", "mean_average_precision"] = "top1"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: Literal["auto", "yes", "no"] = "auto"
    compile: bool = False
    sync_norm: bool = False
    shard: bool = False
    kernels: Literal["auto", "eager", "native"] = "auto"
    image_size: Annotated[int, Span(0, MOST_PIXELS)] = 0
    begin_size: Annotated[int, Span(0, MOST_PIXELS)] = 0
    center: Center = "customary"
    std: Std = "customary"
    zca: bool = False
    zca_epsilon: Annotated[float, Span(0, 1000, above=True, hint="Keras's own is 1e-6")] = 1e-6
    val_fraction: Annotated[float, Span(0, 0.9)] = 0.1
    validate_on: Literal["val", "test"] = "val"
    final_views: Literal["1", "flip", "flip_if_unsure"] = "1"
    folds: Annotated[int, Span(0, 1000)] = 0
    fold: Annotated[int, Span(0, 1000)] = 0
    train_images: Count = 0
    shuffle_window: Count = 0
    measure_train: Count = 0
    workers: Annotated[int, Span(0, 1024)] = 0
    device: Annotated[str, Length(20)] = "auto"
    seed: Annotated[int, Span(0, 2**63 - 1)] = 0
    checkpoint_every_steps: Count = 0
    checkpoint_every_minutes: Strength = 5.0
    keep_checkpoints: OneOrMore = 2
    on_bad: BadPolicy = "refuse"
    augment: AugmentSpec = field(default_factory=AugmentSpec)
    engine: InitVar[str | None] = None  # the former name of `kernels`, for one release

    def __post_init__(self, engine: str | None) -> None:
        if engine is not None:
            object.__setattr__(self, "kernels", engine)
            warn_of_engine()
        settle(self)
        _consistent(self)

    def open_data(
        self,
        data: str | Path,
        data_dir: Path | None = None,
        table: LabelTable | None = None,
        corrections: Corrections | None = None,
    ) -> Dataset:
        """Open the data as this recipe splits and thins it.

        Raises:
            InputError: as `residua.data.open.open_data`.
        """
        # Here, so that the flags of the command line, which are this class's fields, need no numpy.
        from residua.data.open import open_data

        return open_data(
            data,
            table,
            data_dir=data_dir,
            val_fraction=self.val_fraction,
            seed=self.seed,
            train_images=self.train_images,
            on_bad=self.on_bad,
            folds=self.folds if self.fold else 0,
            fold=self.fold,
            corrections=corrections,
        )


@functools.cache
def warn_of_engine() -> None:
    """Warn once that a recipe uses the former name of a field."""
    warnings.warn("engine=… of a recipe is called kernels=… now; the old name goes with the next release", stacklevel=3)


def _consistent(recipe: Recipe) -> None:
    if not recipe.epochs and not recipe.max_steps:
        raise InputError("epochs=0 and max_steps=0", "a length of the run", "Give epochs=… or max_steps=…")
    if recipe.milestones and recipe.milestone_steps:
        raise InputError(
            "both milestones and milestone_steps", "one of the two", "Use milestones=[] or milestone_steps=[]"
        )
    name = "milestone_steps" if recipe.milestone_steps else "milestones"
    drops = recipe.milestones or recipe.milestone_steps
    if list(drops) != sorted(set(drops)):
        raise InputError(
            f"milestones {quoted(list(drops))}", "rising numbers", f"Perhaps {quoted(sorted(set(drops)))} is meant"
        )
    if bool(drops) != (recipe.schedule == "step"):
        raise InputError(
            f"schedule={recipe.schedule!r} with milestones {quoted(list(drops))}",
            "milestones or milestone_steps exactly when the schedule is 'step'",
            f"Use {name}=[], which drops them" if drops else "Give milestones=[60, 120] or a different schedule=…",
        )
    if len(recipe.gamma) not in {1, len(drops)}:
        raise InputError(
            f"gamma={quoted(list(recipe.gamma))} for {len(drops)} milestones",
            "one factor, or one per milestone",
            "For example gamma=0.1",
        )
    if recipe.nesterov and (recipe.optimizer not in ("sgd", "muon") or recipe.momentum == 0):
        raise InputError(
            f"nesterov with {recipe.optimizer} and momentum {recipe.momentum:g}",
            "sgd or muon with momentum > 0",
            "Use momentum=0.9 or nesterov=False" if recipe.optimizer in ("sgd", "muon") else "Use nesterov=False",
        )
    own = [f"rest_optimizer={recipe.rest_optimizer!r}"] if recipe.rest_optimizer != "sgd" else []
    own += [f"rest_rate={recipe.rest_rate:g}"] if recipe.rest_rate != 1 else []
    if own and recipe.optimizer != "muon":
        raise InputError(
            f"{' and '.join(own)} with optimizer={recipe.optimizer!r}",
            "optimizer='muon', which leaves a rest",
            "Give optimizer='muon' too",
        )
    for name, kind in (("balance_beta", "loss"), ("balance_tau", "logits")):
        if (value := getattr(recipe, name)) != 1 and recipe.balance != kind:
            raise InputError(
                f"{name}={value:g} with balance={recipe.balance!r}", f"balance={kind!r}", f"Give balance={kind!r} too"
            )
    if recipe.probe_views:
        _consistent_probe(recipe)
    if recipe.zca and recipe.center not in ("channel", "pixel"):
        raise InputError(
            f"zca with center={recipe.center!r}", "images less the mean of the training images", "Use center='channel'"
        )
    if recipe.validate_on == "test" and recipe.val_fraction:
        raise InputError(
            f"validate_on='test' with val_fraction={recipe.val_fraction:g}",
            "no training images set aside, since the test images validate",
            "Use val_fraction=0",
        )
    if recipe.folds == 1 or recipe.fold > recipe.folds:
        raise InputError(
            f"fold={recipe.fold} of folds={recipe.folds}", "at least two folds, and one of them", "Use folds=5"
        )
    if recipe.folds and recipe.validate_on == "test":
        raise InputError(
            f"validate_on='test' with folds={recipe.folds}", "folds that validate", "Use validate_on='val'"
        )
    check_device_name(recipe.device)


def _consistent_probe(recipe: Recipe) -> None:
    """Refuse what a classifier that is fitted to features has no use for: nothing is ignored silently."""
    wanted = {
        "freeze": "backbone", "epochs": 1, "max_steps": 0, "min_steps": 0, "label_smoothing": 0.0, "ema_decay": 0.0,
        "clip_norm": 0.0, "keep": "last", "layer_decay": 1.0, "early_stop_epochs": 0, "begin_size": 0,
    }  # fmt: skip
    for name, value in wanted.items():
        if (actual := getattr(recipe, name)) != value:
            raise InputError(
                f"{name}={quoted(actual)} with probe_views={recipe.probe_views}",
                f"{name}={quoted(value)}, since the classifier is fitted once to features",
                f"Use {name}={quoted(value)}, or probe_views=0",
            )
    if recipe.balance not in ("none", "sampler") or recipe.augment.mixup or recipe.augment.cutmix:
        raise InputError(
            f"balance={recipe.balance!r}, mixup={recipe.augment.mixup:g} and cutmix={recipe.augment.cutmix:g} with "
            f"probe_views={recipe.probe_views}",
            "balance='none' or balance='sampler', mixup=0 and cutmix=0",
            "Use balance='sampler', or probe_views=0",
        )
