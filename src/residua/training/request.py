"""What is asked of a run, settled as far as that is possible without the data."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import check_local, check_name
from residua._base.run_files import RECIPE_FILE
from residua._base.web.http import is_offline
from residua.data.corrections import Corrections, read_corrections
from residua.data.dataset import EMBEDDED
from residua.data.loader import GROWTH_STEP
from residua.data.tables.label_table import LabelTable
from residua.families.build import spec_of
from residua.families.sizes import check_batch, check_input, is_for_photos
from residua.runtime.device import choose_hardware
from residua.specs.preprocess import size_words
from residua.specs.schema import Spec
from residua.training.folder.run_folder import RunRecord, read_origin
from residua.training.give_way import give_way
from residua.training.initial_weights import Initial
from residua.training.recipe import Recipe
from residua.training.recipe_file import FEW, RecipePair, list_recipes, load_recipe, override
from residua.training.start import choose_start
from residua.training.step.freeze import frozen
from residua.training.step.teachers import Teacher, check_teaching, find_teachers
from residua.weights.identity import Target


@dataclass(frozen=True)
class Request:
    """A run as it was asked for.

    Attributes:
        data: a name or a folder.
        data_dir: where downloaded archives lie.
        table: what states the labels; None for the names of folders.
        folder: the run folder.
        spec: the network; its outputs wait for the data's classes.
        initial_weights: to begin with; None for those drawn from the seed.
        recipes: by the number of training images.
        origin: what the folder recorded when the run was begun; None for a new run.
        full_provenance: whether what others read states places on this machine.
        corrections: of labels; None for none.
        missing_weights: a sentence where published weights were wanted and could not be had, "" elsewhere.
        trials: fields of the recipe that are still to be found before the first step: "batch_size", "learning_rate".
        teachers: whose probabilities the run learns beside the labels; () for none.
        notes: what the image size changed in the preprocessing of the weights.
        large_changes, small_changes: what network, data and `shard` changed in either recipe, sentences.
    """

    data: str | Path
    data_dir: Path | None
    table: LabelTable | None
    folder: Path
    spec: Spec
    initial_weights: Initial | None
    recipes: RecipePair
    origin: RunRecord | None
    full_provenance: bool = False
    notes: tuple[str, ...] = ()
    large_changes: tuple[str, ...] = ()
    small_changes: tuple[str, ...] = ()
    corrections: Corrections | None = None
    missing_weights: str = ""
    trials: tuple[str, ...] = ()
    teachers: tuple[Teacher, ...] = ()

    def notes_for(self, images: int) -> tuple[str, ...]:
        """Return what a run on so many training images is to state of its recipe and its weights."""
        return (*(self.small_changes if images < FEW else self.large_changes), *self.notes)

    @property
    def command(self) -> str:
        """The command that resumes this run; network and recipe are in its folder."""
        return shlex.join(["residua", "train", *self.source, "--out", str(self.folder), "--resume"])

    @property
    def command_to_train_on(self) -> str:
        """The command that begins another run with the weights of this one."""
        words = ["residua", "train", *self.source, "--model", self.spec.name, "--weights", str(self.folder)]
        return shlex.join([*words, "--out", "ANOTHER"])

    @property
    def names_other_data(self) -> bool:
        """Whether the data has a different name than it had when the run was begun."""
        was = self.origin.data if self.origin else None
        return was is not None and was["given"] != str(self.data)

    @property
    def named_weights(self) -> Initial | None:
        """The initial weights under the name that files for others state."""
        return self.initial_weights and (self.initial_weights if self.full_provenance else self.initial_weights.public)

    @property
    def source(self) -> list[str]:
        """The words of a command that name the data."""
        options = ["--data-dir", str(self.data_dir)] if self.data_dir else []
        return [str(self.data), *(table_words(self.table) if self.table else []), *options]


def table_words(table: LabelTable) -> list[str]:
    """Return the words of a command that name a table of labels."""
    columns = [f"{role}={column}".replace(",", r"\,") for role, column in table.columns.items()]
    return ["--labels", str(table.file), *(word for column in columns for word in ("--columns", column))]


def jobs_words(jobs: int | None) -> list[str]:
    """Return the words of a command that state how many runs are trained at a time."""
    return ["--jobs", str(jobs)] if jobs else []


def ask(
    data: str | Path,
    model: str | Spec | None,
    recipe: str | Path | Recipe | None,
    out: str | Path,
    *,
    resume: bool,
    data_dir: Path | None = None,
    table: LabelTable | None = None,
    model_edits: dict[str, Any] | None = None,
    weights: str | Path | None = None,
    full_provenance: bool = False,
    corrections: Path | str | None = None,
    find_rate: bool = False,
    teacher: str | Path | Sequence[str | Path] | None = None,
    **overrides: Any,
) -> Request:
    """Settle everything that can be settled without the data and without writing a file.

    When resuming, a model, a recipe or a table that is not given is the run's own.

    Raises:
        InputError: an unknown name or key, a value out of range, a device that is not there, nothing to resume.
    """
    check_name("data", data)
    check_local("out", out)
    folder = Path(out)
    origin = read_origin(folder) if resume else None
    trials = _trials(overrides, find_rate)
    if resume and not origin:
        raise InputError(
            f"{folder} holds nothing to resume",
            "the folder of a run that was started",
            "Leave resume=True out",
        )
    spec = origin.spec if origin and model is None else spec_of("resnet18" if model is None else model)
    if "num_classes" in (model_edits or {}):
        raise InputError(
            f"num_classes={(model_edits or {})['num_classes']} for training",
            "as many classes as the data has",
            "Leave num_classes out",
        )
    photos = is_for_photos(spec_of(spec, **(model_edits or {})))
    # recipe.toml is for people and for other runs: its number of epochs is computed, not the one asked for.
    recipes = None
    if origin and (recipe is None or recipe in (str(folder / RECIPE_FILE), folder / RECIPE_FILE)):
        recipes = [(origin.recipes.large, FEW), (origin.recipes.small, 0)]
        large, small = (_settle(own, spec, overrides, images, photos=photos) for own, images in recipes)
    else:
        large, small = (_settle(recipe or "fast", spec, overrides, images, photos=photos) for images in (FEW, 0))
    # A name stands for a network that fits the images; a spec states its channels itself.
    published = spec.input_size
    ends = {"input_size": large.image_size, **({"in_channels": 3} if isinstance(model, str) else {})}
    spec = spec_of(spec, **{**ends, **(model_edits or {})})
    if spec.in_channels != 3:
        raise InputError(
            f"{spec.name} with in_channels={spec.in_channels}",
            "a network of 3 channels: images are RGB",
            "Leave in_channels out, or edit the spec: in_channels=3",
        )
    spec.require_logits("training")
    if large.image_size != published:
        check_input(spec, large.image_size)
    if large.folds and not large.fold:
        raise InputError(
            f"folds={large.folds} for one run",
            f"one of the folds, fold=1 to fold={large.folds}",
            "Name one; residua.train_folds trains them all, and so does the command",
        )
    choose_hardware(large.device)
    # Weights may turn out not to be there: what is trained with in the end is checked below, again.
    begins = (large.weights if weights is None else str(weights)) != "none"
    early: tuple[Recipe, ...] = (large, small)
    if recipes is None and begins:
        early = tuple(
            _settle(recipe or "fast", spec, overrides, images, photos=photos, begun=True) for images in (FEW, 0)
        )
    _check_steps(spec, early, trials)
    fetches = origin is None and weights is None and large.weights != "none" and not is_offline()
    if fetches and str(data) not in EMBEDDED and not Path(data).exists():
        # Opening states what is wrong with the name, before weights are fetched for nothing.
        large.open_data(data, data_dir, table)
    # Beside a name, only edits are wanted: in the rest the network follows its weights.
    by_name = model is None or isinstance(model, str)
    target = Target(spec, frozenset(model_edits or ()) if by_name else None)
    start = choose_start(weights, large.weights, target, folder, origin)
    initial = start.initial
    if recipes is None:
        # Now it is known whether the run begins with weights.
        begun = initial is not None
        large, small = (
            _settle(recipe or "fast", spec, overrides, images, photos=photos, begun=begun) for images in (FEW, 0)
        )
    large, small = (dataclasses.replace(each, weights=start.policy) for each in (large, small))
    if initial is not None:
        spec = target.taking(initial.form)
        spec.require_logits("training")  # again: the form of the weights may give none
    _check_steps(spec, (large, small), trials)
    full_provenance = full_provenance or (origin is not None and origin.full_provenance)
    large_changes: tuple[str, ...] = ()
    small_changes: tuple[str, ...] = ()
    if (recipe is None and origin is None) or (isinstance(recipe, str) and recipe in list_recipes()):
        chosen = {key.replace("-", "_") for key in overrides}
        large, large_changes = give_way(large, spec, data, chosen)
        small, small_changes = give_way(small, spec, data, chosen)
    corrected = read_corrections(corrections) if corrections is not None else None
    if corrected is None and origin is not None:
        corrected = Corrections(origin.corrections)
    table = table or (origin.table if origin else None)
    teachers = origin.teachers if origin and teacher is None else find_teachers(teacher or ())
    check_teaching(teachers, (large, small), overrides)
    # What trials have found stands in the recipe of the run that is resumed.
    return Request(
        data,
        data_dir,
        table,
        folder,
        spec,
        initial,
        RecipePair(large, small),
        origin,
        full_provenance,
        _lost_mean_image(initial, large.image_size),
        large_changes,
        small_changes,
        corrected,
        start.missing,
        origin.trials if origin else trials,
        teachers,
    )


def _check_steps(spec: Spec, recipes: Sequence[Recipe], trials: Sequence[str]) -> None:
    """Raise InputError where a batch is too small for the network, or where trials are to search for a probe."""
    for recipe in recipes:
        _check_growth(spec, recipe)
        smallest = recipe.begin_size or recipe.image_size
        check_batch(spec, smallest, recipe.batch_size, frozen(spec, recipe.freeze).hold)
        if trials and recipe.probe_views:
            raise InputError(
                f"probe_views={recipe.probe_views} with a search of {' and '.join(trials)}",
                "a training in steps, which a probe is not",
                "Leave the search out, or give probe_views=0",
            )


def _check_growth(spec: Spec, recipe: Recipe) -> None:
    """Refuse images that grow from a size that the network does not take, or that cannot grow."""
    if not recipe.begin_size:
        return
    if recipe.augment.crop != "random_resized":
        raise InputError(
            f"begin_size={recipe.begin_size} with crop={recipe.augment.crop!r}",
            "random resized crops, which have any size",
            "Use crop='random_resized', or begin_size=0",
        )
    if not GROWTH_STEP <= recipe.begin_size <= recipe.image_size:
        raise InputError(
            f"begin_size={recipe.begin_size} with image_size={recipe.image_size}",
            f"{GROWTH_STEP} to {recipe.image_size} pixels: images grow in steps of {GROWTH_STEP} to image_size",
            f"Use begin_size={max(GROWTH_STEP, recipe.image_size // 2)}"
            if recipe.image_size >= GROWTH_STEP
            else "Use begin_size=0",
        )
    check_input(spec, recipe.begin_size, "begin_size")


def _trials(overrides: dict[str, Any], find_rate: bool) -> tuple[str, ...]:
    """Return the fields that trials are to find; `batch_size="auto"` is taken out of the overrides."""
    names = {key.replace("-", "_"): key for key in overrides}
    trials: tuple[str, ...] = ()
    if overrides.get(names.get("batch_size", "")) == "auto":
        del overrides[names["batch_size"]]
        trials = ("batch_size",)
    if find_rate and "learning_rate" in names:
        raise InputError(
            f"learning_rate={overrides[names['learning_rate']]} and find_rate=True",
            "a rate, or a search for one",
            "Leave one of the two out",
        )
    return (*trials, "learning_rate") if find_rate else trials


def _lost_mean_image(initial: Initial | None, image_size: int) -> tuple[str, ...]:
    """Return a sentence where the weights' mean image does not fit the size; see `resized`."""
    fed = initial and initial.preprocess
    if not fed or fed.mean_image is None or fed.size == (image_size, image_size):
        return ()
    return (
        f"The weights' mean image of {size_words(fed.size)} pixels gives way to its mean per channel at "
        f"image_size={image_size}. Give image_size={fed.height} to keep it",
    )


def _settle(
    source: str | Path | Recipe,
    spec: Spec,
    overrides: dict[str, Any],
    images: int,
    *,
    photos: bool,
    begun: bool = False,
) -> Recipe:
    recipe = source if isinstance(source, Recipe) else load_recipe(source, photos=photos, images=images, begun=begun)
    recipe = override(recipe, **overrides)
    size = recipe.image_size or spec.input_size
    return dataclasses.replace(recipe, image_size=size, augment=recipe.augment.resolve(size, photos=photos))
