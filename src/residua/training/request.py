"""What is asked of a run, settled as far as that goes without the data, and kept in its folder from the start."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import check_name, write_text, writing
from residua._base.words import some
from residua.data.dataset import Dataset
from residua.families.build import spec_of
from residua.families.sizes import check_batch, check_input
from residua.runtime.device import choose_hardware
from residua.specs.schema import Spec
from residua.training.checkpoint import list_checkpoints
from residua.training.initial_weights import Initial, find_initial, full_name
from residua.training.recipe import Recipe
from residua.training.recipe_file import FEW, differences, from_dict, load_recipe, override, to_dict
from residua.training.step.freeze import frozen
from residua.weights.identity import Asked
from residua.weights.named.locate import locate

# What may change between a run and its resumption. On the same kind of device none of it moves a bit of the weights;
# another kind, or another set of images that decode, is noticed when the checkpoint is taken up.
FREE_FIELDS = (
    "name",
    "device",
    "workers",
    "on_bad",
    "checkpoint_every_steps",
    "checkpoint_every_minutes",
    "keep_checkpoints",
)
RUN_FILES = ("model.safetensors", "config.json", "recipe.toml", "history.jsonl", "report.json", "report.html")


@dataclass(frozen=True)
class Request:
    """A run as it was asked for.

    Attributes:
        data: a name or a folder.
        data_dir: where downloaded archives lie.
        folder: the run folder.
        spec: the network; its outputs wait for the data's classes.
        initial: the weights to begin with; None for those drawn from the seed.
        many: the recipe for 10,000 training images or more.
        few: the recipe for fewer.
        origin: what the folder recorded when the run was begun; None for a new run.
    """

    data: str | Path
    data_dir: Path | None
    folder: Path
    spec: Spec
    initial: Initial | None
    many: Recipe
    few: Recipe
    origin: dict[str, Any] | None

    def recipe(self, images: int) -> Recipe:
        """Return the recipe for so many training images."""
        return self.few if images < FEW else self.many

    @property
    def command(self) -> str:
        """What resumes this run; network and recipe are in its folder."""
        return shlex.join(["residua", "train", *self.source, "--out", str(self.folder), "--resume"])

    @property
    def names_other_data(self) -> bool:
        """Whether the data has another name than it had when the run was begun."""
        was = self.origin["data"] if self.origin else None
        return was is not None and bool(was["given"] != str(self.data))

    @property
    def source(self) -> list[str]:
        """The words of a command that name the data."""
        return [str(self.data), *(["--data-dir", str(self.data_dir)] if self.data_dir else [])]


def ask(
    data: str | Path,
    model: str | Spec | None,
    recipe: str | Path | Recipe | None,
    out: str | Path,
    *,
    resume: bool,
    data_dir: Path | None = None,
    model_edits: dict[str, Any] | None = None,
    weights: str | Path | None = None,
    **overrides: Any,
) -> Request:
    """Settle everything that can be settled without the data and without writing a file.

    When resuming, a model or recipe that is not given is the run's own.

    Raises:
        InputError: an unknown name or key, a value out of range, a device that is not there, nothing to resume.
    """
    check_name("data", data)
    check_name("out", out)
    folder = Path(out)
    origin = read_origin(folder) if resume else None
    if resume and not origin:
        raise InputError(
            f"{folder} holds nothing to resume",
            "the folder of a run that was started",
            "Leave --resume out",
        )
    spec = Spec.from_json(origin["model"]) if origin and model is None else spec_of(model or "resnet18")
    # recipe.toml is for people and for other runs: the number of epochs in it is worked out, not asked for.
    if origin and (recipe is None or recipe == str(folder / "recipe.toml") or recipe == folder / "recipe.toml"):
        both = [from_dict(origin["recipe"][name]) for name in ("many", "few")]
        many, few = (_settle(own, spec, overrides, FEW) for own in both)
    else:
        many, few = (_settle(recipe or "fast", spec, overrides, images) for images in (FEW, 0))
    # A name stands for a network that fits the images; a spec says its channels itself.
    published = spec.input_size
    ends = {"input_size": many.image_size, **({"in_channels": 3} if isinstance(model, str) else {})}
    spec = spec_of(spec, **{**ends, **(model_edits or {})})
    if spec.in_channels != 3:
        raise InputError(
            f"{spec.name} with in_channels={spec.in_channels}",
            "a network of 3 channels: images are RGB",
            "Leave in_channels out, or edit the spec: in_channels=3",
        )
    if many.image_size != published:
        check_input(spec, many.image_size)
    choose_hardware(many.device)
    for recipe in (many, few):
        check_batch(spec, recipe.image_size, recipe.batch_size, frozen(spec, recipe.freeze).hold)
    # Beside a name, only edits were asked for: in the rest the network follows its weights.
    by_name = model is None or isinstance(model, str)
    asked = Asked(spec, frozenset(model_edits or ()) if by_name else None)
    initial = _initial(weights, asked, folder, origin)
    if initial is not None:
        spec = asked.taking(initial.form)
    return Request(data, data_dir, folder, spec, initial, many, few, origin)


def claim(request: Request) -> None:
    """Make the folder this run's, or find that it is; the caller holds the folder's lock.

    Raises:
        InputError: the folder holds a run that is not to be resumed; what is to be resumed differs, with every
            difference in network and recipe named.
    """
    if request.origin:
        if found := _departures(request, request.origin):
            raise _differs(request, found)
        return
    begun = _place(request.folder).exists()
    taken = sorted(entry.name for entry in request.folder.iterdir() if not _is_ours(entry))
    if begun or taken:
        raise InputError(
            f"{request.folder} already holds {'a run' if begun else some(taken)}",
            "a folder of its own for each run",
            ("Go on with that run by adding --resume, or give" if begun else "Give") + " another --out",
        )
    record(request, None)


def _is_ours(entry: Path) -> bool:
    """Whether a new run may find this in its folder: its own lock, what a killed writer left, no checkpoints yet."""
    return entry.name == ".lock" or entry.name.endswith(".part") or entry.name == "checkpoints"


@contextmanager
def opening(request: Request, new: bool) -> Iterator[None]:
    """Take a run's record back when what it asks for turns out to be unusable, so that it can be asked anew.

    A folder that is `new` goes with it.
    """
    try:
        yield
    except InputError:
        if not request.origin:
            _place(request.folder).unlink(missing_ok=True)
            with suppress(OSError):
                _place(request.folder).parent.rmdir()
                if new:
                    (request.folder / ".lock").unlink()
                    request.folder.rmdir()
        raise


def record(request: Request, dataset: Dataset | None) -> None:
    """Write into the folder what a resumption repeats; the data once it is opened."""
    data = dataset and {
        "given": dataset.given,
        "location": dataset.location,
        "hash": dataset.hash,
        "classes": list(dataset.classes),
        "images": len(dataset.splits["train"]),
    }
    recipe = {"many": to_dict(request.many), "few": to_dict(request.few)}
    place = _place(request.folder)
    with writing(place):
        weights = request.initial and request.initial.to_dict()
        document = {"model": request.spec.to_json(), "weights": weights, "recipe": recipe, "data": data}
        write_text(place, json.dumps(document, indent=1))


def same_data(request: Request, dataset: Dataset) -> None:
    """Compare opened data with what the run was begun on.

    Raises:
        InputError: it is other data.
    """
    was = request.origin and request.origin["data"]
    if not was:
        return
    if was["classes"] != list(dataset.classes):
        raise _differs(request, [f"the classes are {list(dataset.classes)} now, were {was['classes']}"])
    if was["hash"] != dataset.hash:
        raise _differs(request, [f"the data {dataset.given} is not what {was['given']} was (its hash differs)"])


def is_finished(folder: Path) -> bool:
    """Whether the run has written everything that it had to write."""
    whole = all((folder / name).exists() for name in RUN_FILES)
    return whole and not list_checkpoints(folder / "checkpoints")


def read_origin(folder: Path) -> dict[str, Any] | None:
    """Return what `record` wrote, None when the folder holds no run."""
    place = _place(folder)
    try:
        origin: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{place} cannot be read: {error}", "a run's folder", "Give another --out") from None
    if not {"model", "recipe", "data"} <= origin.keys() or origin["recipe"].keys() != {"many", "few"}:
        raise InputError(f"{place} is not what this version writes", "a run's folder", "Give another --out")
    return origin


def _place(folder: Path) -> Path:
    return folder / "checkpoints" / "origin.json"


def _initial(
    weights: str | Path | None,
    asked: Asked,
    folder: Path,
    origin: dict[str, Any] | None,
) -> Initial | None:
    """Return the weights to begin with; they are fetched and read, unless a checkpoint stands in their place."""
    if origin is None:
        return find_initial(weights, asked) if weights is not None else None
    begun = Initial.from_dict(origin["weights"]) if origin.get("weights") else None
    if weights is not None and full_name(weights) != (begun and begun.given):
        # Not to be used: `claim` refuses it by name.
        return Initial(full_name(weights), "", None, ())
    if begun and not list_checkpoints(folder / "checkpoints") and not is_finished(folder):
        # Now: a download must not come in the way of what a run displays. The record of an address lacks its query.
        locate(weights if weights is not None else begun.given, asked.spec)
    return begun


def _settle(given: str | Path | Recipe, spec: Spec, overrides: dict[str, Any], images: int) -> Recipe:
    if isinstance(given, Recipe):
        recipe = given
    else:
        asked = {key: value for key, value in overrides.items() if key == "image_size"}
        size = override(load_recipe(given), **asked).image_size or spec.input_size
        recipe = load_recipe(given, image_size=size, images=images)
    recipe = override(recipe, **overrides)
    size = recipe.image_size or spec.input_size
    return dataclasses.replace(recipe, image_size=size, augment=recipe.augment.resolve(size))


def _departures(request: Request, origin: dict[str, Any]) -> list[str]:
    now, was = request.spec.to_json(), Spec.from_json(origin["model"]).to_json()
    found = [
        f"the network's {key} is {now.get(key)!r} now, was {was.get(key)!r}"
        for key in {**was, **now}
        if now.get(key) != was.get(key)
    ]
    begun = origin.get("weights") or {"given": None}
    asked = request.initial.given if request.initial else None
    if asked != begun["given"]:
        found.append(f"the weights to begin with are {asked!r} now, were {begun['given']!r}")
    # Before the data was opened, nobody knows which of the two it is.
    images = (origin["data"]["images"],) if origin["data"] else (FEW, 0)
    for count in images:
        ours = request.recipe(count)
        theirs = from_dict(origin["recipe"]["few" if count < FEW else "many"])
        free = {key: getattr(ours, key) for key in FREE_FIELDS}
        found += differences(ours, dataclasses.replace(theirs, **free))
    return list(dict.fromkeys(found))


def _differs(request: Request, found: list[str]) -> InputError:
    return InputError(
        f"{request.folder} was started differently: {'; '.join(found)}",
        "the same data, network and recipe",
        f"Go on as it was started: {request.command}; or give another --out",
    )
