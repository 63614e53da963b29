"""Read a bundle, checking each part and that the parts fit each other."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from torch import Tensor

from residua._base.errors import InputError
from residua._base.files import check_local
from residua._base.run_files import CONFIG_FILE, MODEL_FILE
from residua._version import __version__
from residua.specs.multilabel import LabelThresholds
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.arrays import split_stored
from residua.weights.bundle.config import check_config
from residua.weights.bundle.signed import read_signed
from residua.weights.bundle.value import Bundle, is_temperature, rejection_of
from residua.weights.bundle.write import refuse_mismatches

# What evaluation takes from the recipe of a training; the rest is shown.
_RECIPE: dict[str, type] = {"keep": str, "on_bad": str, "early_stop_epochs": int, "seed": int, "validate_on": str}


def load_bundle(folder: Path | str) -> Bundle:
    """Read all but the tensors of a run folder, or of its model.safetensors; see `read_bundle`."""
    return read_bundle(folder)[0]


def read_bundle(folder: Path | str, config: Path | None = None) -> tuple[Bundle, dict[str, Tensor]]:
    """Read a run folder, or its model.safetensors, trusting nothing that was not checked.

    Args:
        folder: the folder or the file.
        config: the config.json that came with it; None: the one beside it, where there is one.

    Returns:
        The bundle and its state dict, on the CPU.

    Raises:
        InputError: no bundle there; a byte differs from what was written; the file is truncated or is
            something else, such as a renamed pickle; tensors, classes and spec do not fit each other;
            config.json disagrees. The message names the fault, and lists every mismatch.
    """
    check_local("run", folder)
    path = Path(folder)
    path = path if path.is_file() else path / MODEL_FILE
    document, stored = read_signed(path)
    tensors, arrays = split_stored(stored)
    bundle = _bundle(path, document, arrays)
    refuse_mismatches(path.parent, bundle.spec, bundle.classes, tensors)
    check_config(config or path.with_name(CONFIG_FILE), bundle)
    return bundle, tensors


def _bundle(path: Path, document: dict[str, Any], arrays: dict[str, bytes]) -> Bundle:
    try:
        spec = Spec.from_json(document["spec"])
        preprocess = PreprocessSpec.from_json(document["preprocess"], arrays)
    except (InputError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} holds a network or a preprocessing that this Residua cannot build: {error}",
            f"a bundle that Residua {__version__} knows",
            f"It was written by Residua {document['versions'].get('residua', '?')}: install that version",
        ) from error
    calibration = document.get("calibration")
    if not is_temperature(calibration):
        raise InputError(f"{path} is calibrated with {calibration}", "a temperature above 0", "Calibrate the run again")
    try:
        rejection_of(calibration)
    except InputError as error:
        raise InputError(
            f"{path} is calibrated with {error.given}", error.wanted or "a rejection", "Calibrate the run again"
        ) from error
    multilabel = _multilabel(path, document)
    if odd := [name for name in document["classes"] if not isinstance(name, str)]:
        raise InputError(f"{path} names a class {str(odd[0])[:40]}", "class names in text", "Train or convert again")
    recipe = document["recipe"] or {}
    if odd := [name for name, kind in _RECIPE.items() if not isinstance(recipe.get(name, kind()), kind)]:
        value = reprlib.repr(recipe[odd[0]])
        raise InputError(
            f"{path} holds a recipe with {odd[0]}={value}", "a field of its type", "Train or convert again"
        )
    as_they_are = ("metrics", "data", "recipe", "versions", "weights_sha256")
    return Bundle(
        path.parent,
        spec,
        tuple(document["classes"]),
        preprocess,
        initial_weights=document.get("initial_weights"),
        calibration=calibration,
        multilabel=multilabel,
        **{name: document[name] for name in as_they_are},
    )


def _multilabel(path: Path, document: dict[str, Any]) -> LabelThresholds | None:
    """Return the thresholds of the labels; None in the bundle of a run with one label an image."""
    if "multilabel" not in document:
        return None
    try:
        thresholds = LabelThresholds.from_json(document["multilabel"])
    except InputError as error:
        raise InputError(f"{path} holds {error.given}", error.wanted, "Train again") from error
    if len(thresholds.thresholds) != len(document["classes"]):
        raise InputError(
            f"{path} holds {len(thresholds.thresholds)} thresholds for {len(document['classes'])} labels",
            "one for each label",
            "Train again",
        )
    return thresholds
