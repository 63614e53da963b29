"""What a run will do, settled before it starts: recipe, network, data, hardware and length."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import InputError
from residua._base.files import write_text, writing
from residua._base.public import public_name
from residua._base.run_files import RECIPE_FILE
from residua._base.words import agree, counted, some
from residua.data.dataset import Dataset
from residua.data.decoded.cache import are_unfetched, by_reason, refusal
from residua.data.decoded.image_digests import ImageDigests, digest_images, file_names
from residua.data.loader import Loader
from residua.data.shards.window import window_for
from residua.data.splitting import balanced
from residua.data.statistics import measured
from residua.families.build import outline, spec_of
from residua.runtime.device import Hardware, choose_hardware
from residua.specs.augment import SMALL_IMAGE
from residua.specs.catalog import get_spec
from residua.specs.edit_text import edit_words
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.training.folder.arithmetic import Arithmetic
from residua.training.folder.claim import record, refuse_different_content, refuse_different_names
from residua.training.folder.run_folder import checkpoints_of
from residua.training.initial_weights import preprocess_for
from residua.training.recipe import Recipe
from residua.training.recipe_file import to_toml
from residua.training.request import Request, table_words
from residua.training.step.distill import Teachers
from residua.training.step.label_kind import suited
from residua.training.step.teachers import open_teachers


@dataclass(frozen=True)
class Plan:
    """A run, before it starts.

    Attributes:
        request: what was asked for.
        recipe: complete: crop and number of epochs are settled.
        spec: the network, with as many outputs as the data has classes.
        dataset: the opened data; its notes name the images left out.
        digests: of the content of each image file; None for data that is no files.
        preprocess: the evaluation transform.
        hardware: device, precision, layout.
        train: batches of the training split.
        val: batches of the validation split; None when the data has none.
        sample: batches of the training images that are measured after each epoch; None for none.
        steps_per_epoch: optimizer steps in a whole epoch.
        total_steps: optimizer steps of the run.
        arithmetic: how steps are computed on a CPU, where that was measured; None where rules choose it.
        teachers: whose probabilities the network learns beside the labels; None for none.
    """

    request: Request
    recipe: Recipe
    spec: Spec
    dataset: Dataset
    digests: ImageDigests | None
    preprocess: PreprocessSpec
    hardware: Hardware
    train: Loader
    val: Loader | None
    sample: Loader | None
    steps_per_epoch: int
    total_steps: int
    arithmetic: Arithmetic | None = None
    teachers: Teachers | None = None

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.request.folder

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return checkpoints_of(self.folder)

    @property
    def command(self) -> str:
        """The command that resumes this run."""
        return self.request.command

    @property
    def measures(self) -> bool:
        """Whether the training images' own statistics prepare the images."""
        return self.recipe.zca or (self.recipe.center, self.recipe.std) != ("customary", "customary")

    @property
    def left_out(self) -> dict[str, list[int]]:
        """Positions of the images that training and validation do without, because they do not decode."""
        loaders = {"train": self.train, **({self.val.split.name: self.val} if self.val else {})}
        return {name: sorted(loader.skipped) for name, loader in loaders.items()}

    def noted(self) -> Plan:
        """Return the plan with a note on the images that were left out on the way, where images are streamed."""
        if not self.train.streams or not (notes := _left_out({"train": self.train})):
            return self
        return dataclasses.replace(self, dataset=dataclasses.replace(self.dataset, notes=(*self.dataset.notes, *notes)))


def open_data(request: Request) -> Dataset:
    """Open the data; of a run that is resumed, check that classes and names are what they were.

    Raises:
        InputError: data that cannot be used, or that has changed since the run was begun.
    """
    recipe = request.recipes.large  # what chooses the images is the same in both
    dataset = recipe.open_data(request.data, request.data_dir, request.table, request.corrections)
    refuse_different_names(request, dataset)
    return dataset


def check_content(request: Request, dataset: Dataset, left_out: Collection[str] = ()) -> ImageDigests | None:
    """Digest every image file; of a run that is resumed, check that it holds the bytes that it held.

    Raises:
        InputError: it does not; each file is named, but for those of `left_out`.
    """
    digests = digest_images(dataset, request.recipes.large.workers or None)
    refuse_different_content(request, digests, left_out)
    return digests


def open_plan(request: Request) -> Plan:
    """Open the data, examine every image of it, and settle the rest; nothing is written into the run folder.

    Raises:
        InputError: data that cannot be used, or is not what the run was begun on; images that do not decode, all
            of every part named at once; a recipe that does not suit the data.
    """
    dataset = open_data(request)
    recipe = request.recipes.of(len(dataset.splits["train"]))
    recipe = suited(recipe, dataset)
    if window := window_for(dataset.splits["train"].images, recipe.shuffle_window):
        recipe = dataclasses.replace(recipe, shuffle_window=window)
        note = f"training takes shards in turn, and shuffles within windows of {window:,} images"
        dataset = dataclasses.replace(dataset, notes=(*dataset.notes, note))
    spec = spec_of(request.spec, num_classes=len(dataset.classes))
    if recipe.validate_on == "test" and "test" not in dataset.splits:
        raise InputError(
            f"validate_on='test' of {dataset.given}, which has no test part", "test images", "Use validate_on='val'"
        )
    if recipe.keep == "best" and recipe.validate_on not in dataset.splits:
        raise InputError(
            "keep='best' without a validation split",
            "validation images to find the best weights with",
            "Use keep='last', or val_fraction=0.1, or validate_on='test' where the test images may choose them",
        )
    hardware = choose_hardware(
        recipe.device,
        recipe.precision,
        recipe.channels_last,
        trains_channels_last=outline(spec).trains_channels_last,
    )
    preprocess = measured(
        dataset.splits["train"],
        preprocess_for(request.initial_weights, recipe.image_size),
        recipe.center,
        recipe.std,
        zca=recipe.zca,
        zca_epsilon=recipe.zca_epsilon,
        workers=recipe.workers or None,
    )
    loaders = _loaders(recipe, dataset, preprocess, hardware)
    # After decoding, which hashes what it reads: the digests are of the bytes that are trained on.
    digests = check_content(request, dataset, _not_reported(recipe, dataset, loaders))
    train = loaders["train"]
    steps_per_epoch = train.steps_per_epoch // recipe.accumulate_steps
    if not steps_per_epoch:
        raise InputError(
            f"accumulate_steps={recipe.accumulate_steps} with {train.steps_per_epoch} batches per epoch",
            "at least one optimizer step per epoch",
            f"Use accumulate_steps={train.steps_per_epoch} or a smaller batch_size",
        )
    recipe, total_steps = _settle_length(recipe, steps_per_epoch)
    if recipe.begin_size:
        train.grow(recipe.begin_size, recipe.epochs)
    if request.teachers and dataset.multilabel:
        raise InputError(
            f"a teacher on {dataset.given}, whose images may have several labels", "one label", "Leave it out"
        )
    teachers, taught = open_teachers(request.teachers, recipe, dataset.classes, preprocess, hardware)
    dataset = dataclasses.replace(dataset, notes=(*dataset.notes, *_left_out(loaders), *taught))
    return Plan(
        request,
        recipe,
        spec,
        dataset,
        digests,
        preprocess,
        hardware,
        train,
        loaders.get(recipe.validate_on),
        _sample(recipe, dataset, preprocess, hardware, train),
        steps_per_epoch,
        total_steps,
        teachers=teachers,
    )


def write_plan(plan: Plan) -> None:
    """Write what a resumption compares with, and recipe.toml for people."""
    record(plan.request, plan.dataset, plan.digests, plan.arithmetic)
    path = plan.folder / RECIPE_FILE
    with writing(path):
        write_text(path, _recipe_text(plan))


def _recipe_text(plan: Plan) -> str:
    # Others read it: by default, data and weights are named without their places on this machine.
    request, name = plan.request, plan.spec.name
    source = request.source if request.full_provenance else [plan.dataset.name, *_public_table(request)]
    initial = request.named_weights
    options = ["--weights", initial.given] if initial else []
    for each in request.teachers:
        options += ["--teacher", each.given if request.full_provenance else public_name(each.given)]
    edits = _edits_of(plan.spec)
    options += [word for edit in edit_words(edits or {}) for word in ("--set", edit)]
    again = ["residua", "train", *source, "--model", name, *options, "--recipe", RECIPE_FILE, "--out", "ANOTHER"]
    head = f"{name} on {source[0]}: the complete recipe. Repeat the run with\n{shlex.join(again)}"
    if initial:
        head += f"\nSHA-256 of the weights that it begins with: {initial.sha256}"
    if plan.arithmetic is not None:
        head += f"\n{plan.arithmetic.sentence}."
    if edits is None:
        head += f"\nThe catalog has no {name}, so that command fails: checkpoints/origin.json has the network's fields."
    return to_toml(plan.recipe, head=head)


def _public_table(request: Request) -> list[str]:
    table = request.table
    return [] if table is None else table_words(dataclasses.replace(table, file=public_name(table.file)))


def _edits_of(spec: Spec) -> dict[str, Any] | None:
    """Return the fields that differ from the catalog's network, but for its ends; None for a name of the user's."""
    try:
        listed = get_spec(spec.name)
    except InputError:
        return None
    return {key: getattr(spec, key) for key in spec.diff(listed) if spec.roles().get(key) != "ends"}


def _settle_length(recipe: Recipe, steps_per_epoch: int) -> tuple[Recipe, int]:
    epochs = max(recipe.epochs, math.ceil(recipe.min_steps / steps_per_epoch))
    epochs = epochs or math.ceil(recipe.max_steps / steps_per_epoch)
    total = epochs * steps_per_epoch
    if recipe.max_steps:
        total = min(total, recipe.max_steps)
        epochs = math.ceil(total / steps_per_epoch)
    return dataclasses.replace(recipe, epochs=epochs), total


def _loaders(recipe: Recipe, dataset: Dataset, preprocess: PreprocessSpec, hardware: Hardware) -> dict[str, Loader]:
    """Open every part, the one of the final report too: its bad images must not come to light after training."""
    decisive = _decisive(recipe)
    loaders = {
        name: Loader(
            split,
            preprocess,
            batch_size=recipe.batch_size if name == "train" else _many(recipe),
            augment=recipe.augment,
            train=name == "train",
            device=hardware.device if name in decisive else "cpu",
            num_classes=len(dataset.classes),
            seed=recipe.seed,
            workers=recipe.workers or None,
            channels_last=hardware.channels_last,
            balanced=recipe.balance == "sampler",
            on_bad=recipe.on_bad if recipe.shuffle_window and name == "train" else "skip",
            window=recipe.shuffle_window if name == "train" else 0,
        )
        for name, split in dataset.splits.items()
        # Pixels have no files that could be bad.
        if name in decisive or split.images.pixels is None
    }
    bad = [(loader.split, loader.skipped) for loader in loaders.values() if loader.skipped]
    if bad and recipe.on_bad == "refuse":
        raise refusal(*bad)
    loaders["train"].check_classes(dataset.classes)
    return loaders


def _sample(
    recipe: Recipe, dataset: Dataset, preprocess: PreprocessSpec, hardware: Hardware, train: Loader
) -> Loader | None:
    if not recipe.measure_train:
        return None
    good = np.setdiff1d(np.arange(len(train.split)), sorted(train.skipped))
    chosen = good[balanced(train.split.labels[good], recipe.measure_train, recipe.seed)]
    return Loader(
        train.split.subset(chosen),
        preprocess,
        batch_size=_many(recipe),
        train=False,
        device=hardware.device,
        num_classes=len(dataset.classes),
        workers=recipe.workers or None,
        channels_last=hardware.channels_last,
    )


def _many(recipe: Recipe) -> int:
    """Return the images per batch where nothing is kept for a backward pass, so that more fit."""
    return max(recipe.batch_size, 256 if recipe.image_size <= SMALL_IMAGE else 32)


def _decisive(recipe: Recipe) -> set[str]:
    """Return the parts whose images decide the weights."""
    return {"train", "val", recipe.validate_on}


def _not_reported(recipe: Recipe, dataset: Dataset, loaders: dict[str, Loader]) -> set[str]:
    """Return the names of files that decide no weights and do not decode."""
    skipped = {(name, index) for name, loader in loaders.items() for index in loader.skipped}
    skipped = {key for key in skipped if key[0] not in _decisive(recipe)}
    return {name for key, name in file_names(dataset).items() if key in skipped} if skipped else set()


def _left_out(loaders: dict[str, Loader]) -> list[str]:
    notes = []
    for name, loader in loaders.items():
        if loader.skipped:
            count, images = len(loader.skipped), counted(len(loader.split), f"{name} image")
            lack = agree(count, "does not decode", "do not decode")
            if are_unfetched(loader.skipped):
                lack = f"{agree(count, 'was', 'were')} not fetched"
            notes.append(f"{count} of {images} {lack}, left out: {some(by_reason(loader.split, loader.skipped))}")
    return notes
