"""Fit the temperature of a run on its validation part and store it in the bundle."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from residua._base.errors import InputError
from residua.evaluation.measures.abstention import find_thresholds
from residua.evaluation.measures.calibration import Temperature, fit_temperature
from residua.evaluation.measures.metrics import tally_of
from residua.evaluation.run_data import open_run
from residua.evaluation.scores.options import Progress, ScoreOptions
from residua.evaluation.scores.scorer import open_scorer
from residua.specs.fields import BadPolicy
from residua.weights.bundle.calibration import store_calibration
from residua.weights.bundle.value import MODEL_FILE
from residua.weights.named.open_bundle import is_published
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
    engine: str = "eager",
    precision: str = "fp32",
    progress: Progress | None = None,
) -> Temperature:
    """Fit a run's temperature on its validation part and write it into RUN/model.safetensors.

    Stored beside it are the probability thresholds above which 90%, 95% and 99% of the answers there are right. `load`
    and `predict` use the temperature from then on; the weights, their hash and all answers stay as they are.

    Args:
        run: a `Run` or its folder.
        data: where the training data lies now; by default where it lay in training.
        data_dir: the folder of downloaded data sets.
        cache: as in `evaluate`.
        batch_size: images per forward pass.
        device: by default the GPU where there is one.
        on_bad: "refuse" or "skip" images that do not decode; by default as in training.
        engine: as in `evaluate`.
        precision: as in `evaluate`.
        progress: called with (images done, images in total).

    Raises:
        InputError: a run that is no run folder; training data without a validation part; scores that no temperature
            fits (see `fit_temperature`).
    """
    if not isinstance(run, Run) and is_published(run):
        raise InputError(
            f"{run}, which is no run folder of yours", "a run to write a temperature into", "Save it first"
        )
    run = open_run(run, [data])
    if not (run.folder / MODEL_FILE).is_file():
        raise InputError(f"{run.folder} holds no {MODEL_FILE}", "a run to write a temperature into", "Save it first")
    options = ScoreOptions(
        data=data,
        split="val",
        data_dir=data_dir,
        batch_size=batch_size,
        device=device,
        on_bad=on_bad,
        cache=cache,
        progress=progress,
        engine=engine,
        precision=precision,
    )
    scorer = open_scorer([run], options)
    if not scorer.own:
        raise InputError(
            f"{scorer.dataset.given}, which {run.folder} was not trained on",
            "its own data",
            "Name the data that it was trained on, with a validation part (train with val_fraction=0.1)",
        )
    scores = scorer.scores(run)
    labels = torch.from_numpy(scores.labels)
    fit = fit_temperature(scores.logits, labels)
    outcome = tally_of(scores.logits.double() / fit.temperature, labels).outcome()
    thresholds = find_thresholds(outcome.probability, outcome.correct)
    calibration: dict[str, Any] = asdict(fit) | {
        "split": scorer.split,
        "data_hash": scorer.dataset.hash,
        "thresholds": {str(wanted): probability for wanted, probability in thresholds.items()},
    }
    store_calibration(run.folder, calibration, run.weights_sha256)
    return fit
