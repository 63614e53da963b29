"""Write a bundle: one file with weights and all that is needed to use them, and config.json beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from residua._base.errors import InputError
from residua._base.files import atomic_path, write_text
from residua._base.plain import plain
from residua._base.run_files import CONFIG_FILE, MODEL_FILE
from residua._base.words import counted
from residua.specs.multilabel import LabelThresholds
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.arrays import tensors_of
from residua.weights.bundle.config import config_of
from residua.weights.bundle.signed import MULTILABEL_SCHEMA, SCHEMA, write_signed
from residua.weights.bundle.value import Bundle, hash_tensors, versions
from residua.weights.state_diff import mismatches


def save_bundle(
    folder: Path | str,
    *,
    tensors: Mapping[str, Tensor],
    spec: Spec,
    classes: Sequence[str],
    preprocess: PreprocessSpec,
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    recipe: Mapping[str, Any] | None = None,
    initial_weights: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
    multilabel: LabelThresholds | None = None,
) -> Path:
    """Write the parts of a bundle into `folder`; see `write_bundle`."""
    names = tuple(map(str, classes))
    bundle = Bundle(
        Path(folder),
        spec,
        names,
        preprocess,
        dict(metrics),
        dict(data),
        None if recipe is None else dict(recipe),
        None if initial_weights is None else dict(initial_weights),
        None if calibration is None else dict(calibration),
        multilabel=multilabel,
    )
    return write_bundle(bundle.folder, bundle, tensors)


def write_bundle(folder: Path, bundle: Bundle, tensors: Mapping[str, Tensor]) -> Path:
    """Write `model.safetensors` and `config.json` into `folder` and return the former's path.

    Each file is written beside, synced and renamed. The same arguments give the same bytes. Numbers that JSON
    lacks (NaN, infinity) in `metrics`, `data` and `recipe` are stored as null. `folder`, `versions` and
    `weights_sha256` of the bundle are replaced by the current ones.

    Raises:
        InputError: the tensors or the class names do not fit the spec; every mismatch is listed.
    """
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    refuse_mismatches(folder, bundle.spec, bundle.classes, state)
    bundle = replace(bundle, versions=versions(), weights_sha256=hash_tensors(state))
    path = folder / MODEL_FILE
    config = json.dumps(config_of(bundle), indent=2, ensure_ascii=False)
    with atomic_path(path) as beside:
        write_signed(beside, state | tensors_of(bundle.preprocess), _document(bundle))
        # Before the model's rename: a folder that holds model.safetensors is complete.
        write_text(folder / CONFIG_FILE, config + "\n")
    return path


def refuse_mismatches(folder: Path, spec: Spec, classes: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    """Refuse class names and tensors that are not those of `spec`.

    Raises:
        InputError: lists every mismatch.
    """
    problems = []
    if len(classes) != spec.num_classes:
        problems.append(
            f"{counted(len(classes), 'class name')} for the {counted(spec.num_classes, 'output')} of {spec.name}"
        )
    if len(set(classes)) != len(classes):
        problems.append("class names that are not distinct")
    problems += mismatches(spec, tensors)
    if problems:
        raise InputError(
            f"{folder}: the parts do not fit each other: {'; '.join(problems)}",
            f"the weights of {spec.name} with {counted(spec.num_classes, 'class', 'classes')}",
            "Use the spec and the classes that the weights were trained with",
        )


def _document(bundle: Bundle) -> dict[str, Any]:
    """Return the header's JSON; `read.py` undoes it."""
    document = {
        "schema": SCHEMA,
        "spec": bundle.spec.to_json(),
        "classes": list(bundle.classes),
        "preprocess": bundle.preprocess.to_json(),
        "metrics": plain(bundle.metrics),
        "data": plain(bundle.data),
        "recipe": plain(bundle.recipe),
        "initial_weights": plain(bundle.initial_weights),
        "versions": bundle.versions,
        "weights_sha256": bundle.weights_sha256,
    }
    if bundle.calibration is not None:
        document["calibration"] = plain(bundle.calibration)
    if bundle.multilabel is not None:
        # A layout of its own: versions that know one label an image would answer wrongly, and refuse this.
        document |= {"schema": MULTILABEL_SCHEMA, "multilabel": bundle.multilabel.to_json()}
    return document
