"""What stands in a run's folder, and whether a folder is one."""

from __future__ import annotations

import os
from pathlib import Path

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
RECIPE_FILE, HISTORY_FILE = "recipe.toml", "history.jsonl"
REPORT_PAGE, REPORT_DOCUMENT = "report.html", "report.json"
LOCK_FILE = ".lock"

CHECKPOINTS = "checkpoints"
"""The folder of what serves this machine alone."""
ORIGIN = Path(CHECKPOINTS) / "origin.json"
"""What a resumption repeats."""

LAUNCHERS = Path(CHECKPOINTS) / "launchers"
"""The torchruns, one a line, under which it was begun or resumed last."""

IMAGE_DIGESTS = Path(CHECKPOINTS) / "images.npz"
"""The digest of each image that the run had, in any part."""

FOLDS_FILE = "folds.json"
"""Stands in the folder of a cross-validation, beside the runs of its folds."""

CROSS_VALIDATION = "cross_validation.json"
"""Stands there too, once all folds are trained."""

ENSEMBLE_FILE = "ensemble.json"
"""Stands in the folder of an ensemble, beside the bundles of its members."""

RUN_FILES = (MODEL_FILE, CONFIG_FILE, RECIPE_FILE, HISTORY_FILE, REPORT_DOCUMENT, REPORT_PAGE)
"""All that a finished run has."""


def is_run(folder: Path | str) -> bool:
    """Return whether a folder is a run's: finished, begun, or just claimed, so that it holds the lock alone."""
    try:
        if any(os.path.isfile(os.path.join(folder, name)) for name in (MODEL_FILE, ORIGIN)):
            return True
        return os.listdir(folder) == [LOCK_FILE]
    except (OSError, ValueError):  # ValueError: a name with a null byte, which no path has
        return False
