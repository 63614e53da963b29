"""Write a calibration into the bundle of a trained run; the weights stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import atomic_path
from residua._base.plain import plain
from residua._base.run_files import MODEL_FILE
from residua.weights.bundle.arrays import split_stored
from residua.weights.bundle.read import load_bundle
from residua.weights.bundle.signed import read_signed, write_signed
from residua.weights.bundle.value import hash_tensors, is_temperature, rejection_of


def store_calibration(folder: Path, calibration: Mapping[str, Any], weights_sha256: str) -> Path:
    """Write a calibration into the header of a run's model.safetensors, and return the file's path.

    The new file is written beside and renamed: readers see either the old run or the new one. All other fields and
    the tensors stay the same.

    Args:
        folder: the run folder.
        calibration: JSON values: `temperature` (above 0), how it was fitted, and `rejection`, where there is one.
        weights_sha256: of the weights that it was fitted for.

    Raises:
        InputError: a temperature that is not a number above 0; a rejection out of range; no whole bundle
            there, or one of different weights.
    """
    calibration = plain(calibration)
    if not is_temperature(calibration):
        raise InputError(
            f"temperature {calibration.get('temperature')!r}",
            "a number above 0",
            "Calibrate the run again",
        )
    rejection_of(dict(calibration))
    load_bundle(folder)
    path = folder / MODEL_FILE
    document, tensors = read_signed(path)
    if hash_tensors(split_stored(tensors)[0]) != weights_sha256:
        raise InputError(
            f"{folder} holds weights that differ from those that the temperature was fitted for",
            f"weights with SHA-256 {weights_sha256[:16]}…",
            "Repeat the command: the run was trained again meanwhile",
        )
    with atomic_path(path) as beside:
        write_signed(beside, tensors, document | {"calibration": calibration})
    return path
