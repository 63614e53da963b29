"""Recipes as TOML: the ones that ship, a user's own file, the complete one in a run folder."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from residua._base.errors import InputError, did_you_mean
from residua._base.files import check_local
from residua._base.words import quoted
from residua.specs.augment import AugmentSpec
from residua.specs.fields import checked, field_rules, field_types, left_out, parsed
from residua.specs.synonyms import meant
from residua.training.recipe import Recipe, warn_of_engine

_AUGMENT = field_types(AugmentSpec)
_FIELDS = {key: wanted for key, wanted in field_types(Recipe).items() if key != "augment"}

FEW = 10_000  # images; below, an epoch of large batches has too few steps to learn from
_ALIKE = 0.7  # of the letters of two keys: below they mean different things
# Arguments of `train` beside the recipe.
_BESIDE = ("model", "out", "weights", "resume", "data_dir", "full_provenance", "track")
_BEFORE_DATA = (
    "val_fraction",
    "folds",
    "fold",
    "validate_on",
    "train_images",
    "seed",
    "on_bad",
    "image_size",
    "device",
)


def list_recipes() -> list[str]:
    """Return the names of the recipes that ship with Residua."""
    folder = resources.files("residua") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


@dataclasses.dataclass(frozen=True)
class RecipePair:
    """The recipe of a run before its images are counted.

    Attributes:
        large: for 10,000 training images or more.
        small: for fewer.
    """

    large: Recipe
    small: Recipe

    def of(self, images: int) -> Recipe:
        """Return the recipe for so many training images."""
        return self.small if images < FEW else self.large

    def map(self, change: Callable[[Recipe], Recipe]) -> RecipePair:
        """Return both recipes, changed."""
        return RecipePair(change(self.large), change(self.small))


def load_recipe(name_or_path: str | Path, *, photos: bool = False, images: int = FEW, begun: bool = False) -> Recipe:
    """Return the recipe of that name, or of that TOML file.

    Args:
        name_or_path: "fast", "paper", "keras", "slim", "probe", "finetune", or a path that ends in .toml.
        photos: whether the network is one for photos (`is_for_photos`): then the file's [photos] table applies.
        images: to train on; below 10,000 the file's [few] table applies.
        begun: whether the run begins with weights; then the file's [begun] table applies.

    Raises:
        InputError: no such recipe; an unknown key or a wrong type, named with the file.
    """
    check_local("recipe", name_or_path)
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise InputError(
                f"the recipe {path} cannot be read: {reason}",
                f"a TOML file, or one of {', '.join(list_recipes())}",
                "Check the path, or name a recipe: recipe='fast'",
            ) from None
        return from_toml(text, source=str(path), photos=photos, images=images, begun=begun)
    if str(name_or_path) not in list_recipes():
        raise InputError(
            f"no recipe is called {str(name_or_path)!r}",
            f"there are {', '.join(list_recipes())}, and any file that ends in .toml",
            did_you_mean(str(name_or_path), list_recipes(), 1),
        )
    text = (resources.files("residua") / "recipes" / f"{name_or_path}.toml").read_text(encoding="utf-8")
    return from_toml(text, source=f"{name_or_path}.toml", photos=photos, images=images, begun=begun)


def from_toml(
    text: str, *, source: str = "the recipe", photos: bool = False, images: int = FEW, begun: bool = False
) -> Recipe:
    """Return the recipe that a TOML text describes; fields that it leaves out keep their defaults.

    Fields of the table [photos] replace those above when the network is one for photos, whatever the size of its
    input. Those of [few] do when there are fewer than 10,000 images to train on. Those of [begun] do when the run
    begins with weights. A table within another, such as [photos.few], holds where both do.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Besides its own error, the reader raises these for numbers of thousands of digits and for deep nesting.
        raise InputError(
            f"{source} is not TOML: {error}",
            "lines such as `epochs = 10`",
            "Write one field a line; text stands in quotes",
        ) from None
    holds = {"few": images < FEW, "begun": begun, "photos": photos}
    fields = _fields(table, source, holds)
    try:
        augment = AugmentSpec(**fields.pop("augment"))
        return Recipe(**{"name": Path(source).stem, **fields, "augment": augment})
    except InputError as error:
        raise InputError(f"{error.given} in {source}", error.wanted, error.remedy) from None


def to_toml(recipe: Recipe, *, head: str = "") -> str:
    """Return the complete recipe as TOML, every field written out; `head` becomes comment lines above it."""
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    lines += [f"{key} = {_toml(getattr(recipe, key))}" for key in _FIELDS]
    lines += ["", "[augment]"]
    lines += [f"{key} = {_toml(getattr(recipe.augment, key))}" for key in _AUGMENT]
    return "\n".join(lines) + "\n"


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain values for JSON, the augmentation nested under "augment"."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return plain


def from_dict(plain: dict[str, Any]) -> Recipe:
    """Build a recipe from what `to_dict` returned, in this version or an earlier one; a missing field takes its
    default.

    Raises:
        InputError: an unknown field, or a value that the recipe refuses.
    """
    table = {("kernels" if key == "engine" else key): value for key, value in plain.items()}
    augment = table.pop("augment", {})
    if not isinstance(augment, dict):
        raise InputError(
            f"augment={augment!r}",
            "the fields of the augmentation",
            "Give them by name in a table [augment]",
        )
    fields = _checked(table, _FIELDS, "the recipe")
    return Recipe(**fields, augment=AugmentSpec(**_checked(augment, _AUGMENT, "augment of the recipe")))


def override(recipe: Recipe, **fields: Any) -> Recipe:
    """Return the recipe with fields replaced; names of the augmentation stand beside the others.

    Text is read as a command line would: override(recipe, learning_rate="0.05", flip="no"). A number of epochs
    given here is exact: it switches `min_steps` off, which would lengthen the run. A warm-up that is not given beside
    it is at most half as long.

    Raises:
        InputError: an unknown field, with the nearest; a value of the wrong type or range.
    """
    fields = {key.replace("-", "_"): value for key, value in fields.items()}
    augmentation = fields.pop("augment", None)
    if augmentation is not None and not isinstance(augmentation, AugmentSpec):
        raise InputError(
            f"augment={quoted(augmentation)}",
            "an AugmentSpec, or its fields by name, such as flip=True",
            "Leave it out for the augmentation of the recipe",
        )
    known = {**_FIELDS, **_AUGMENT}
    changes: dict[str, Any] = {}
    _rename_engine(fields)
    for key, value in fields.items():
        if key not in known:
            raise _unknown(key, "the options", known)
        changes[key] = parsed(key, value, known[key], _left_out(key)) if _is_word(value, known[key]) else value
    if changes.get("epochs") and "min_steps" not in changes:
        changes["min_steps"] = 0
    epochs = changes.get("epochs")
    if type(epochs) is int and epochs > 0 and "warmup_epochs" not in changes:
        changes["warmup_epochs"] = min(recipe.warmup_epochs, epochs / 2)
    if changes.get("optimizer", "muon") != "muon":
        # Of Muon alone: a recipe with it goes on with another optimizer.
        changes = {"rest_optimizer": Recipe.rest_optimizer, "rest_rate": Recipe.rest_rate} | changes
    rules = field_rules(AugmentSpec)
    inner = {
        key: checked(key, changes.pop(key), rules[key], _left_out(key)) for key in list(changes) if key in _AUGMENT
    }
    augment = dataclasses.replace(augmentation or recipe.augment, **inner)
    return dataclasses.replace(recipe, **changes, augment=augment)


def differences(ours: Recipe, theirs: Recipe) -> list[str]:
    """Return one line for each field in which two recipes differ: "epochs is 3 now, was 10"."""
    left, right = to_dict(ours), to_dict(theirs)
    left, right = {**left.pop("augment"), **left}, {**right.pop("augment"), **right}
    return [f"{key} is {left[key]} now, was {right[key]}" for key in left if left[key] != right[key]]


def _fields(table: dict[str, Any], source: str, holds: dict[str, bool]) -> dict[str, Any]:
    """Check a table; return its fields, with those of its conditional tables that hold merged in, in `holds`' order."""
    tables = {key: table.pop(key) for key in ("augment", *holds) if key in table}
    for key, value in tables.items():
        if not isinstance(value, dict):
            raise InputError(
                f"{key}={quoted(value)} in {source}", f"a table [{key}]", f"Write its fields below a line [{key}]"
            )
    _rename_engine(table)
    values = _checked(table, _FIELDS, source)
    values["augment"] = _checked(tables.pop("augment", {}), _AUGMENT, f"[augment] of {source}")
    for key in holds:
        if key not in tables:
            continue
        others = {name: held for name, held in holds.items() if name != key}
        inner = _fields(tables[key], f"[{key}] of {source}", others)
        early = _BEFORE_DATA if key == "photos" else (*_BEFORE_DATA, "weights")
        if fixed := [name for name in early if name in inner]:
            raise InputError(
                f"{fixed[0]} in [{key}] of {source}",
                "a field that is not settled before that is known",
                "Write it above the tables: it holds for all of them",
            )
        if holds[key]:
            values = {**values, **inner, "augment": {**values["augment"], **inner["augment"]}}
    return values


def _checked(table: dict[str, Any], known: dict[str, Any], source: str) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        if key not in known:
            raise _unknown(key, source, known)
        try:
            values[key] = checked(key, value, known[key], _left_out(key))
        except InputError as error:
            raise InputError(f"{error.given} in {source}", error.wanted, error.remedy) from None
    return values


def _left_out(key: str) -> str:
    return left_out(AugmentSpec if key in _AUGMENT else Recipe, key)


def _rename_engine(fields: dict[str, Any]) -> None:
    """Give the former name of `kernels` its new one, for one release."""
    if fields.get("engine") is not None:
        fields.setdefault("kernels", fields["engine"])
        warn_of_engine()
    fields.pop("engine", None)


def _unknown(key: str, table: str, known: dict[str, Any]) -> InputError:
    elsewhere = ""
    if known is _FIELDS and key in _AUGMENT:
        elsewhere = f"{key!r} belongs in the table [augment]"
    elif known is _AUGMENT and key in _FIELDS:
        elsewhere = f"{key!r} belongs above the table [augment]"
    return InputError(
        f"{table} has the unknown key {key!r}",
        "every key is a field of the recipe",
        elsewhere
        or meant(key, [*known, *_BESIDE])
        or did_you_mean(key, known, 1, _ALIKE)
        or f"Known keys: {', '.join(known)}",
    )


def _is_word(value: Any, wanted: Any) -> bool:
    return isinstance(value, str) and wanted is not str


def _toml(value: Any) -> str:
    # JSON's text, numbers, lists and truth values are TOML's, but for one character that TOML wants escaped.
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
