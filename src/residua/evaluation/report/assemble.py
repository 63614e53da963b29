"""Assemble the report from scores: every number comes from them, and pictures only of the mistakes shown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from residua._base.errors import InputError
from residua.anatomy.inspect import inspect
from residua.data.dataset import Split
from residua.data.decode import Pixels
from residua.data.preprocess.resize import apply_uint8
from residua.evaluation.measures.abstention import abstention, apply_threshold
from residua.evaluation.measures.calibration import calibration
from residua.evaluation.measures.metrics import IntArray, Outcome, tally_of
from residua.evaluation.report.findings import CalibrationFindings, Mistake
from residua.evaluation.report.predictions import Predictions
from residua.evaluation.report.report import Report
from residua.evaluation.scores.scores import Scores
from residua.explanation.thumbnails import overlay_uris
from residua.families.network import Classifier
from residua.figures.pictures import thumbnail_uri
from residua.runtime.device import on_device
from residua.runtime.environment import environment
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.value import hash_tensors

WORST, CONFIDENT = 24, 12  # mistakes shown: as many as a reader looks through


def assemble(
    scores: Scores,
    model: Mapping[str, Any],
    split: Split,
    preprocess: PreprocessSpec,
    classes: Sequence[str],
    *,
    device: torch.device,
    network: nn.Module | None = None,
    network_classes: Sequence[str] | None = None,
    fitted: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> Report:
    """Return the report of an evaluation as far as it follows from scores; the caller adds what else is known.

    Args:
        scores: of the images of `split`, in the order of `classes`.
        model: description of the network.
        split: the images.
        preprocess: the evaluation transform, for the pictures.
        classes: names in the order of the logits.
        device: the device that the network ran on.
        network: its Grad-CAM is drawn beside the mistakes, on what `preprocess` makes; None draws none.
        network_classes: its classes, where their order differs.
        fitted: the calibration in the run's bundle, to be applied, or None.
        data: description of the data.
        root: file names are given relative to it.
    """
    metrics, outcome = scores.tally.metrics(classes), scores.outcome
    wrong = np.flatnonzero(~outcome.correct)
    # A stable sort gives ties to the image that comes first, so that the page is the same each time.
    worst = wrong[np.argsort(outcome.true_probability[wrong], kind="stable")][:WORST]
    surest = wrong[np.argsort(-outcome.probability[wrong], kind="stable")][:CONFIDENT]

    drawn = [int(row) for row in dict.fromkeys([*worst, *surest])]
    pixels = [seen_pixels(split, int(scores.indices[row]), preprocess) for row in drawn]
    overlays = [""] * len(drawn)
    if network is not None:
        order = [list(network_classes or classes).index(name) for name in classes]
        shown = [order[class_index] for class_index in outcome.predicted[drawn]]
        overlays = overlay_uris(on_device(network, device), pixels, shown, preprocess)
    pictures = {row: (thumbnail_uri(seen), overlay) for row, seen, overlay in zip(drawn, pixels, overlays, strict=True)}

    def mistakes(rows: IntArray) -> tuple[Mistake, ...]:
        return tuple(_mistake(int(row), scores, outcome, split, classes, root, *pictures[int(row)]) for row in rows)

    return Report(
        name="",
        model=dict(model),
        split=split.name,
        count=metrics.count,
        top1=metrics.top1,
        top1_interval=metrics.top1_interval,
        top5=metrics.top5,
        loss=metrics.loss,
        macro_f1=metrics.macro_f1,
        balanced_accuracy=metrics.balanced_accuracy,
        balanced_accuracy_interval=metrics.balanced_accuracy_interval,
        baseline=float(metrics.confusion.sum(axis=1).max() / metrics.count),
        classes=tuple(classes),
        per_class=metrics.per_class,
        confusion=metrics.confusion,
        worst=mistakes(worst),
        most_confident_mistakes=mistakes(surest),
        predictions=Predictions(
            paths=tuple(shown_path(split, int(index), root) for index in scores.indices),
            classes=tuple(classes),
            label=outcome.label,
            predicted=outcome.predicted,
            logits=scores.logits,
            loss=outcome.loss,
        ),
        data=with_notes(data or {}, scores.notes(split.name)),
        recipe=None,
        environment=environment(device),
        history=(),
        views=scores.views,
        top5_interval=metrics.top5_interval,
        log_likelihood=-metrics.loss,
        brier=metrics.brier,
        calibration=calibration(outcome.probability, outcome.correct),
        abstention=abstention(outcome.probability, outcome.correct),
        calibrated=_calibrated(scores, fitted) if fitted else None,
        seconds=scores.seconds,
        cached=scores.cached,
    )


def describe(model: nn.Module, preprocess: PreprocessSpec) -> dict[str, Any]:
    """Return the description of a network in reports.

    It holds name, paper, parameters, input size, bytes and hash of the weights, and multiply-accumulates per image. The
    latter are None for a network that Residua did not build.
    """
    spec = getattr(model, "spec", None)
    return {
        "name": getattr(spec, "name", type(model).__name__),
        "paper": getattr(spec, "paper", ""),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "input_size": preprocess.image_size,
        "macs": _macs(model, preprocess.size),
        "weights_bytes": sum(tensor.nbytes for tensor in model.state_dict().values()),
        "weights_sha256": hash_tensors(model.state_dict()),
    }


def _macs(model: nn.Module, size: tuple[int, int]) -> int | None:
    if not isinstance(model, Classifier):
        return None
    try:
        return inspect(model.spec, (model.spec.in_channels, *size)).macs
    except InputError:
        return None


def _calibrated(scores: Scores, fitted: Mapping[str, Any]) -> CalibrationFindings:
    tally = tally_of(scores.logits.double() / fitted["temperature"], torch.from_numpy(scores.labels))
    outcome, metrics = tally.outcome(), tally.metrics()
    thresholds = fitted.get("thresholds") or {}
    return CalibrationFindings(
        temperature=float(fitted["temperature"]),
        fitted={key: value for key, value in fitted.items() if key not in ("temperature", "thresholds", "rejection")},
        loss=metrics.loss,
        brier=metrics.brier,
        calibration=calibration(outcome.probability, outcome.correct),
        thresholds=tuple(
            apply_threshold(outcome.probability, outcome.correct, float(wanted), probability)
            for wanted, probability in thresholds.items()
        ),
    )


def with_notes(data: Mapping[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """Return a description of data with further notes."""
    return {**data, "notes": [*data.get("notes", ()), *notes]} if notes else dict(data)


def _mistake(
    row: int,
    scores: Scores,
    outcome: Outcome,
    split: Split,
    classes: Sequence[str],
    root: Path | None,
    thumbnail: str,
    explanation: str,
) -> Mistake:
    index = int(scores.indices[row])
    return Mistake(
        path=shown_path(split, index, root),
        index=index,
        true=classes[outcome.label[row]],
        predicted=classes[outcome.predicted[row]],
        probability=float(outcome.probability[row]),
        true_probability=float(outcome.true_probability[row]),
        thumbnail=thumbnail,
        explanation=explanation,
    )


def shown_path(split: Split, index: int, root: Path | None) -> str:
    """Return the file relative to the data, or its position; never a place on this machine."""
    path = Path(split.where(index))
    # The data may have been named relative to the working directory, or through a link to its folder.
    if root is not None:
        for named in (str, os.path.abspath, lambda name: os.path.join(os.path.realpath(path.parent), path.name)):
            each = Path(named(str(path)))
            if each.is_relative_to(root):
                return str(each.relative_to(root))
    return str(Path(path.parent.name, path.name))


def seen_pixels(split: Split, index: int, preprocess: PreprocessSpec) -> Pixels:
    """Return an image as the network sees it, uint8 (H, W, 3)."""
    return np.ascontiguousarray(apply_uint8(split.images.read(index), preprocess))
