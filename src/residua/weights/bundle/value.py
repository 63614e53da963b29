"""All that a bundle states beside its tensors, as one value."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._version import __version__
from residua.specs.fields import Temperature, checked
from residua.specs.multilabel import LabelThresholds
from residua.specs.preprocess import PreprocessSpec
from residua.specs.rejection import Rejection
from residua.specs.schema import Spec


@dataclass(frozen=True, eq=False)
class Bundle:
    """What a trained network needs beside its tensors.

    Attributes:
        folder: the run folder; for published weights, the folder of their file.
        spec: the network's spec.
        classes: names in the order of the logits.
        preprocess: the evaluation transform.
        metrics: what the training run measured.
        data: the description of the data set that it was trained on.
        recipe: the complete recipe, or None.
        initial_weights: `given` and `sha256` of the weights that the training began with, or None.
        calibration: `temperature` of the probabilities and how it was fitted, or None; see `store_calibration`.
        versions: of Residua, torch and Python when it was written.
        weights_sha256: of the tensors alone (names, types, shapes, bytes): equal for equal weights.
        multilabel: the thresholds of the labels where an image may have several; None where it has one.
        kept: which of the weights that its training kept these are, such as "epoch-0003"; "" for the run's own.
    """

    folder: Path
    spec: Spec
    classes: tuple[str, ...]
    preprocess: PreprocessSpec
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    recipe: dict[str, Any] | None = field(default=None, repr=False)
    initial_weights: dict[str, Any] | None = field(default=None, repr=False)
    calibration: dict[str, Any] | None = field(default=None, repr=False)
    versions: dict[str, str] = field(default_factory=lambda: versions(), repr=False)
    weights_sha256: str = field(default="", repr=False)
    multilabel: LabelThresholds | None = field(default=None, repr=False)
    kept: str = ""


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a state dict: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {"residua": __version__, "torch": torch.__version__, "python": platform.python_version()}


def rejection_of(calibration: dict[str, Any] | None) -> Rejection | None:
    """Return the rejection in a calibration; None where it has none.

    Raises:
        InputError: a field out of range; names it.
    """
    stored = (calibration or {}).get("rejection")
    return None if stored is None else Rejection.from_json(stored)


def is_temperature(calibration: Any) -> bool:
    """Return whether a calibration is None, or has a temperature that logits can be divided by."""
    if not isinstance(calibration, dict):
        return calibration is None
    try:
        checked("temperature", calibration.get("temperature"), Temperature)
    except InputError:
        return False
    return True
