"""The temperature of a run: fitted on its validation part, kept in its bundle."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from residua._base.errors import InputError
from residua.data.dataset import BadPolicy
from residua.evaluation.measures.abstention import find_thresholds
from residua.evaluation.measures.calibration import Temperature, fit_temperature
from residua.evaluation.measures.metrics import tally_of
from residua.evaluation.scores.scorer import loaded, open_judge
from residua.evaluation.scores.scores import Progress
from residua.weights.bundle.bundle import MODEL_FILE
from residua.weights.bundle.calibration import store_calibration
from residua.weights.publish import is_strangers
from residua.weights.run import Run


def calibrate(
    run: Run | Path | str,
    data: str | Path | None = None,
    *,
    data_dir: Path | None = None,
    cache: bool = True,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    on_bad: BadPolicy | None = None,
    progress: Progress | None = None,
) -> Temperature:
    """Fit a run's temperature on its validation part and write it into RUN/model.safetensors.

    With it go the probabilities from which on answers are right in 90, 95 and 99 of 100 cases there. `load` and
    `predict` use the temperature from then on; the weights, their hash and all answers stay as they are.

    Args:
        run: a `Run` or its folder.
        data: where the data that it was trained on lies now; by default where it lay.
        data_dir: where downloaded sets lie.
        cache: as in `evaluate`.
        batch_size: images a forward pass.
        device: by default the GPU where there is one.
        on_bad: what to do with images that do not decode; by default as in training.
        progress: called with (images done, images in all).

    Raises:
        InputError: a run that is no folder of ours; no validation part of its own; one of which no temperature can be
            fitted (see `fit_temperature`).
    """
    if not isinstance(run, Run) and is_strangers(run):
        raise InputError(
            f"{run}, which is no run folder of yours", "a run to write a temperature into", "Save it first"
        )
    run = loaded(run)
    if not (run.folder / MODEL_FILE).is_file():
        raise InputError(f"{run.folder} holds no {MODEL_FILE}", "a run to write a temperature into", "Save it first")
    remedy = "Name the data that it was trained on, with a validation part: residua train DATA --val-fraction 0.1"
    judge = open_judge(
        [run],
        data,
        split="val",
        data_dir=data_dir,
        batch_size=batch_size,
        device=device,
        on_bad=on_bad,
        keep=cache,
        progress=progress,
    )
    if not judge.own:
        raise InputError(f"{judge.dataset.given}, which {run.folder} was not trained on", "its own data", remedy)
    record = judge.record(run)
    found = fit_temperature(record.scores, torch.from_numpy(record.labels))
    outcome = tally_of(record.scores.double() / found.temperature, torch.from_numpy(record.labels)).outcome()
    thresholds = find_thresholds(outcome.probability, outcome.correct)
    described: dict[str, Any] = asdict(found) | {
        "split": judge.split,
        "data_hash": judge.dataset.hash,
        "thresholds": {str(wanted): probability for wanted, probability in thresholds.items()},
    }
    store_calibration(run.folder, described, run.weights_sha256)
    return found
