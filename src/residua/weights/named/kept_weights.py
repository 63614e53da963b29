"""Weights that a training keeps beside the run's own: a run's `checkpoints/epoch-0003.safetensors`, best and last."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from residua._base.errors import InputError
from residua._base.run_files import CHECKPOINTS, MODEL_FILE
from residua.specs.multilabel import LabelThresholds
from residua.weights.bundle.read import read_bundle
from residua.weights.bundle.value import Bundle, hash_tensors
from residua.weights.bundle.write import refuse_mismatches
from residua.weights.files.state_file import read_state

_KEPT = re.compile(r"(?P<name>epoch-\d{4,}|best|last)\.safetensors")


def is_kept(name: Path | str) -> bool:
    """Return whether a path is one of the files of weights that a run's training keeps."""
    path = Path(name)
    return path.parent.name == CHECKPOINTS and _KEPT.fullmatch(path.name) is not None


def read_kept(name: Path | str) -> tuple[Bundle, dict[str, Tensor]]:
    """Read kept weights as the run that they belong to would be, had it ended with them.

    Metrics and calibration of the run are left out: they are those of its own weights. So are thresholds of labels,
    which become one half.

    Raises:
        InputError: no such file, its numbers named; a run that is not finished, and has no classes yet; weights that
            are damaged or of another network.
    """
    path = Path(name)
    run = path.parent.parent
    if not path.is_file():
        kept = sorted(each.name for each in path.parent.glob("*.safetensors") if is_kept(each))
        epochs = [each for each in kept if each.startswith("epoch-")]
        held = f"{epochs[0]} to {epochs[-1]}" if len(epochs) > 1 else ", ".join(kept) or "none"
        raise InputError(
            f"{path}, which does not exist",
            f"a file of weights that the training kept; there: {held}",
            "Train with keep='every' for a file of each epoch",
        )
    if not (run / MODEL_FILE).is_file():
        raise InputError(
            f"{path} of a run without {MODEL_FILE}, whose training has not ended",
            "a finished run, which states the classes and the preprocessing",
            "Let it finish: repeat its command with resume=True",
        )
    bundle, _ = read_bundle(run)
    tensors = dict(read_state(path))
    refuse_mismatches(path, bundle.spec, bundle.classes, tensors)
    kept_name = path.name.removesuffix(".safetensors")
    thresholds = LabelThresholds.even(len(bundle.classes)) if bundle.multilabel else None
    digest = hash_tensors(tensors)
    own = replace(bundle, metrics={}, calibration=None, multilabel=thresholds, weights_sha256=digest, kept=kept_name)
    return own, tensors
