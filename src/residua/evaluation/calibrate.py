"""Fit the temperature of a run on its validation part and store it in the bundle."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import torch

from residua._base.errors import InputError
from residua._base.run_files import MODEL_FILE
from residua.evaluation.measures.abstention import find_thresholds
from residua.evaluation.measures.calibration import Temperature, all_right, fit_temperature, unfitted
from residua.evaluation.measures.metrics import tally_of
from residua.evaluation.rejection.fit import fit_rejection
from residua.evaluation.run_data import open_run
from residua.evaluation.scores.options import PartKeywords, ScoreOptions, takes
from residua.evaluation.scores.scorer import open_scorer
from residua.specs.rejection import ScoreName
from residua.weights.bundle.calibration import store_calibration
from residua.weights.named.open_bundle import is_published
from residua.weights.run import Run


@takes(PartKeywords)
def calibrate(
    run: Run | Path | str,
    data: str | Path | None = None,
    *,
    reject: float | None = None,
    score: ScoreName = "energy",
    **options: Unpack[PartKeywords],
) -> Temperature:
    """Fit a run's temperature on its validation part and write it into RUN/model.safetensors.

    Stored beside it are the probability thresholds above which 90%, 95% and 99% of the answers there are right. `load`
    and `predict` use the temperature from then on; the weights, their hash and all answers stay as they are.

    Args:
        run: a `Run` or its folder.
        data: where the training data lies now; by default where it lay in training.
        reject: the share of validation images that may be answered "unknown"; None leaves the run's rejection. Where
            every answer is right, so that no temperature can be fitted, the temperature is then 1.
        score: what decides: "softmax", "energy", "knn" or "mahalanobis"; the last two need features.
        options: `batch_size`, `device`, `engine`, `precision`, `on_bad`, `cache`, `data_dir`, `progress`; see
            `ScoreOptions`.

    Raises:
        InputError: a run that is no run folder; training data without a validation part; scores that no temperature
            fits (see `fit_temperature`); what `fit_rejection` refuses.
    """
    if not isinstance(run, Run) and is_published(run):
        raise InputError(
            f"{run}, which is no run folder of yours", "a run to write a temperature into", "Save it first"
        )
    run = open_run(run, [data])
    if run.bundle.kept:
        raise InputError(
            f"{run.name} to calibrate, weights that its training kept",
            "a run: the temperature is stored in its model.safetensors",
            "Evaluate them without calibrate=True",
        )
    if not (run.folder / MODEL_FILE).is_file():
        raise InputError(f"{run.folder} holds no {MODEL_FILE}", "a run to write a temperature into", "Save it first")
    scorer = open_scorer([run], ScoreOptions(data=data, split="val", **options))
    if not scorer.own:
        raise InputError(
            f"{scorer.dataset.given}, which {run.folder} was not trained on",
            "its own data",
            "Name the data that it was trained on, with a validation part (train with val_fraction=0.1)",
        )
    scores = scorer.scores(run)
    labels = torch.from_numpy(scores.labels)
    if reject is not None and len(labels) and all_right(scores.logits, labels):
        fit = unfitted(scores.logits, labels)  # A rejection needs no mistakes, and good runs make none.
    else:
        fit = fit_temperature(scores.logits, labels)
    outcome = tally_of(scores.logits.double() / fit.temperature, labels).outcome()
    thresholds = find_thresholds(outcome.probability, outcome.correct)
    record = asdict(fit)
    if fit.fitted:
        del record["fitted"]  # As in bundles of earlier versions.
    calibration: dict[str, Any] = record | {
        "split": scorer.split,
        "data_hash": scorer.dataset.hash,
        "thresholds": {str(wanted): probability for wanted, probability in thresholds.items()},
    }
    if reject is not None:
        calibration["rejection"] = fit_rejection(run, scorer, scores, fit.temperature, reject, score).to_json()
    elif run.calibration and "rejection" in run.calibration:
        calibration["rejection"] = run.calibration["rejection"]
    store_calibration(run.folder, calibration, run.weights_sha256)
    return fit
