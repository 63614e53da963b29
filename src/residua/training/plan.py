"""What a run will do, settled before it starts: recipe, network, data, hardware, length, and the resume command."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import write_text
from residua.data.loader import Loader
from residua.data.sources import Dataset, open_dataset
from residua.families.build import spec_of
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec, default_preprocess
from residua.specs.schema import Spec, from_json, to_json
from residua.training.checkpoint import list_checkpoints, writing
from residua.training.hardware import Hardware, choose_hardware
from residua.training.recipe import Recipe
from residua.training.recipe_file import FEW, differences, from_dict, load_recipe, override, to_dict, to_toml

# What may change between a run and its resumption: it moves no bit of the weights.
FREE_FIELDS = (
    "name",
    "device",
    "workers",
    "checkpoint_every_steps",
    "checkpoint_every_minutes",
    "keep_checkpoints",
)
RUN_FILES = ("model.safetensors", "config.json", "recipe.toml", "history.jsonl", "report.json", "report.html")


@dataclass(frozen=True)
class Plan:
    """A run, before it starts.

    Attributes:
        folder: the run folder.
        recipe: complete: crop and number of epochs are settled.
        spec: the network, with as many outputs as the data has classes.
        dataset: the opened data.
        preprocess: the evaluation transform.
        hardware: device, precision, layout.
        train: batches of the training split.
        val: batches of the validation split; None when the data has none.
        steps_per_epoch: optimizer steps in a whole epoch.
        total_steps: optimizer steps of the run.
        command: what resumes this run.
    """

    folder: Path
    recipe: Recipe
    spec: Spec
    dataset: Dataset
    preprocess: PreprocessSpec
    hardware: Hardware
    train: Loader
    val: Loader | None
    steps_per_epoch: int
    total_steps: int
    command: str

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"

    def origin(self) -> dict[str, Any]:
        """What a resumption must repeat: network, data and recipe."""
        data = {"given": self.dataset.given, "hash": self.dataset.hash, "classes": list(self.dataset.classes)}
        return {"model": to_json(self.spec), "data": data, "recipe": to_dict(self.recipe)}


def make_plan(
    data: str | Path,
    model: str | Spec | None,
    recipe: str | Path | Recipe | None,
    out: str | Path,
    *,
    resume: bool,
    data_dir: Path | None = None,
    model_edits: dict[str, Any] | None = None,
    **overrides: Any,
) -> Plan:
    """Settle everything that can be settled without writing a file.

    When resuming, a model or recipe that is not given is the run's own.

    Raises:
        InputError: anything unusable, from an unknown key to data that cannot be opened.
    """
    folder = Path(out)
    own = folder / "recipe.toml"
    if resume and model is None and (origin := read_origin(folder)):
        model = from_json(origin["model"])
    spec = get_spec(model or "resnet18") if isinstance(model, str | None) else model
    if recipe is None:
        recipe = own if resume and own.exists() else "fast"
    settled = _settle(recipe, spec, overrides)
    hardware = choose_hardware(settled)
    dataset = open_dataset(
        data,
        data_dir=data_dir,
        val_fraction=settled.val_fraction,
        seed=settled.seed,
        on_bad=settled.on_bad,
    )
    settled = _settle(recipe, spec, overrides, images=len(dataset.splits["train"]))
    edits = {"input_size": settled.image_size, **(model_edits or {})}
    spec = spec_of(spec, num_classes=len(dataset.classes), **edits)
    if spec.in_channels != 3:
        raise InputError(f"{spec.name} with in_channels={spec.in_channels}", "a network of 3 channels: images are RGB")
    if settled.keep == "best" and "val" not in dataset.splits:
        raise InputError(
            "keep='best' without a validation split",
            "validation images to tell the best weights by",
            "Use --keep last, or --val-fraction 0.1",
        )
    preprocess = default_preprocess(settled.image_size)
    train, val = _loaders(settled, dataset, preprocess, hardware)
    steps_per_epoch = train.steps_per_epoch // settled.accumulate_steps
    if not steps_per_epoch:
        raise InputError(
            f"accumulate_steps={settled.accumulate_steps} with {train.steps_per_epoch} batches an epoch",
            "at least one optimizer step an epoch",
            f"Use --accumulate-steps {train.steps_per_epoch} or a smaller --batch-size",
        )
    settled, total_steps = _settle_length(settled, steps_per_epoch)
    words = ["residua", "train", str(data), "--model", spec.name, "--out", str(out)]
    words += ["--data-dir", str(data_dir)] if data_dir else []
    command = shlex.join([*words, "--recipe", str(own), "--resume"])
    return Plan(
        folder,
        settled,
        spec,
        dataset,
        preprocess,
        hardware,
        train,
        val,
        steps_per_epoch,
        total_steps,
        command,
    )


def claim(plan: Plan, *, resume: bool) -> None:
    """Make the folder this run's, or find that it is; the caller holds the folder's lock.

    Raises:
        InputError: the folder holds a run and `resume` is not asked for; there is nothing to resume; what is to be
            resumed differs, with every difference named.
    """
    origin = read_origin(plan.folder)
    if not resume:
        taken = [name for name in RUN_FILES if (plan.folder / name).exists()]
        if origin or taken:
            raise InputError(
                f"{plan.folder} already holds {'a run' if origin else ', '.join(taken)}",
                "a folder of its own for each run",
                ("Go on with that run by adding --resume, or give" if origin else "Give") + " another --out",
            )
        place = plan.checkpoints / "origin.json"
        with writing(place):
            write_text(place, json.dumps(plan.origin(), indent=1))
            write_text(plan.folder / "recipe.toml", recipe_text(plan))
        return
    if not origin:
        raise InputError(
            f"{plan.folder} holds nothing to resume",
            "the folder of a run that was started",
            "Leave --resume out",
        )
    if found := _departures(plan, origin):
        raise InputError(
            f"{plan.folder} was started differently: {'; '.join(found)}",
            "the same data, network and recipe",
            f"Go on as it was started: {plan.command}; or give another --out",
        )
    if not (plan.folder / "recipe.toml").exists():
        write_text(plan.folder / "recipe.toml", recipe_text(plan))


def is_finished(plan: Plan) -> bool:
    """Whether the run has written everything that it had to write."""
    whole = all((plan.folder / name).exists() for name in RUN_FILES)
    return whole and not list_checkpoints(plan.checkpoints)


def read_origin(folder: Path) -> dict[str, Any] | None:
    """Return what `claim` recorded, None when the folder holds no run."""
    try:
        origin: dict[str, Any] = json.loads((folder / "checkpoints" / "origin.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}/checkpoints/origin.json cannot be read: {error}", "a run's folder") from None
    return origin


def recipe_text(plan: Plan) -> str:
    """Return the run's recipe.toml."""
    dataset = plan.dataset
    head = f"{plan.spec.name} on {dataset.given}: the complete recipe. Repeat the run with\n"
    again = [
        "residua",
        "train",
        dataset.given,
        "--model",
        plan.spec.name,
        "--recipe",
        f"{plan.folder}/recipe.toml",
    ]
    return to_toml(plan.recipe, head=head + shlex.join([*again, "--out", "ANOTHER"]))


def _settle(given: str | Path | Recipe, spec: Spec, overrides: dict[str, Any], images: int = FEW) -> Recipe:
    size = int(overrides.get("image_size") or 0)
    if isinstance(given, Recipe):
        recipe = given
    else:
        size = size or load_recipe(given).image_size or spec.input_size
        recipe = load_recipe(given, image_size=size, images=images)
    recipe = override(recipe, **overrides)
    size = recipe.image_size or spec.input_size
    return dataclasses.replace(recipe, image_size=size, augment=recipe.augment.resolve(size))


def _settle_length(recipe: Recipe, steps_per_epoch: int) -> tuple[Recipe, int]:
    epochs = max(recipe.epochs, math.ceil(recipe.min_steps / steps_per_epoch))
    epochs = epochs or math.ceil(recipe.max_steps / steps_per_epoch)
    total = epochs * steps_per_epoch
    if recipe.max_steps:
        total = min(total, recipe.max_steps)
        epochs = math.ceil(total / steps_per_epoch)
    return dataclasses.replace(recipe, epochs=epochs), total


def _loaders(
    recipe: Recipe, dataset: Dataset, preprocess: PreprocessSpec, hardware: Hardware
) -> tuple[Loader, Loader | None]:
    common: dict[str, Any] = {
        "device": hardware.device,
        "num_classes": len(dataset.classes),
        "seed": recipe.seed,
        "workers": recipe.workers or None,
        "channels_last": hardware.channels_last,
        "on_bad": recipe.on_bad,
    }
    train = Loader(
        dataset.splits["train"],
        preprocess,
        batch_size=recipe.batch_size,
        augment=recipe.augment,
        train=True,
        **common,
    )
    if "val" not in dataset.splits:
        return train, None
    # Nothing is kept for a backward pass, so more images fit.
    size = max(recipe.batch_size, 256 if recipe.image_size <= 64 else 32)
    return train, Loader(dataset.splits["val"], preprocess, batch_size=size, train=False, **common)


def _departures(plan: Plan, origin: dict[str, Any]) -> list[str]:
    now = json.loads(json.dumps(plan.origin()))
    found = [
        f"the network's {key} is {now['model'].get(key)!r} now, was {origin['model'].get(key)!r}"
        for key in {**origin["model"], **now["model"]}
        if now["model"].get(key) != origin["model"].get(key)
    ]
    if now["data"]["classes"] != origin["data"]["classes"]:
        found.append(f"the classes are {now['data']['classes']} now, were {origin['data']['classes']}")
    elif now["data"]["hash"] != origin["data"]["hash"]:
        found.append(f"the data {now['data']['given']} is not what {origin['data']['given']} was (its hash differs)")
    was = from_dict(origin["recipe"])
    free = {key: getattr(plan.recipe, key) for key in FREE_FIELDS}
    return found + differences(plan.recipe, dataclasses.replace(was, **free))
