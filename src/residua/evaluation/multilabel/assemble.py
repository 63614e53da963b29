"""Assemble the report of several labels an image from scores; pictures are made of the mistakes shown alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from residua.data.dataset import Split
from residua.evaluation.multilabel.findings import LabelMistake
from residua.evaluation.multilabel.label_metrics import checked_logits, multilabel_loss, multilabel_metrics
from residua.evaluation.multilabel.predictions import LabelPredictions
from residua.evaluation.multilabel.report import MultilabelReport
from residua.evaluation.report.assemble import seen_pixels, shown_path, with_notes
from residua.evaluation.scores.scores import Scores
from residua.evaluation.sigmoid import sigmoid
from residua.explanation.thumbnails import overlay_uris
from residua.figures.pictures import thumbnail_uri
from residua.runtime.device import on_device
from residua.runtime.environment import environment
from residua.specs.multilabel import LabelThresholds
from residua.specs.preprocess import PreprocessSpec

SHOWN = 12  # mistakes of each kind: as many as a reader looks through


def assemble_labels(
    scores: Scores,
    model: Mapping[str, Any],
    split: Split,
    preprocess: PreprocessSpec,
    classes: Sequence[str],
    thresholds: LabelThresholds,
    *,
    device: torch.device,
    network: nn.Module | None = None,
    data: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> MultilabelReport:
    """Return the report of an evaluation as far as it follows from scores; the caller adds what else is known.

    Args:
        scores: of the images of `split`, with labels (N, K) of 0 and 1.
        model: description of the network.
        split: the images.
        preprocess: the evaluation transform, for the pictures.
        classes: names in the order of the logits.
        thresholds: from which probability on a label is given.
        device: the device that the network ran on.
        network: its Grad-CAM is drawn beside the mistakes; None draws none.
        data: description of the data.
        root: file names are given relative to it.
    """
    metrics = multilabel_metrics(scores.logits, scores.labels, thresholds.thresholds, classes)
    logits = checked_logits(scores.logits, scores.labels)
    probabilities, truth = sigmoid(logits), scores.labels > 0
    decided = probabilities >= np.array(thresholds.thresholds)
    pairs = [_worst(truth & ~decided, probabilities), _worst(decided & ~truth, -probabilities)]
    drawn = [pair for worst in pairs for pair in worst]
    pixels = [seen_pixels(split, int(scores.indices[row]), preprocess) for row, _ in drawn]
    overlays = [""] * len(drawn)
    if network is not None:
        overlays = overlay_uris(on_device(network, device), pixels, [label for _, label in drawn], preprocess)
    pictures = {pair: (thumbnail_uri(p), overlay) for pair, p, overlay in zip(drawn, pixels, overlays, strict=True)}

    def mistakes(worst: Sequence[tuple[int, int]]) -> tuple[LabelMistake, ...]:
        return tuple(
            LabelMistake(
                path=shown_path(split, int(scores.indices[row]), root),
                index=int(scores.indices[row]),
                label=classes[label],
                probability=float(probabilities[row, label]),
                threshold=thresholds.thresholds[label],
                labels=tuple(name for name, has in zip(classes, truth[row].tolist(), strict=True) if has),
                thumbnail=pictures[row, label][0],
                explanation=pictures[row, label][1],
            )
            for row, label in worst
        )

    present = truth.any(axis=0)
    return MultilabelReport(
        name="",
        model=dict(model),
        split=split.name,
        count=metrics.count,
        mean_average_precision=metrics.mean_average_precision,
        mean_average_precision_interval=metrics.mean_average_precision_interval,
        baseline=float(truth[:, present].mean()) if present.any() else 0.0,
        micro_f1=metrics.micro_f1,
        macro_f1=metrics.macro_f1,
        micro_precision=metrics.micro_precision,
        micro_recall=metrics.micro_recall,
        exact_match=metrics.exact_match,
        exact_match_interval=metrics.exact_match_interval,
        hamming_loss=metrics.hamming_loss,
        loss=metrics.loss,
        classes=tuple(classes),
        per_label=metrics.per_label,
        thresholds=thresholds,
        missed=mistakes(pairs[0]),
        wrong=mistakes(pairs[1]),
        data=with_notes(data or {}, scores.notes(split.name)),
        recipe=None,
        environment=environment(device),
        history=(),
        views=scores.views,
        seconds=scores.seconds,
        cached=scores.cached,
        predictions=LabelPredictions(
            paths=tuple(shown_path(split, int(index), root) for index in scores.indices),
            classes=tuple(classes),
            labels=scores.labels,
            predicted=decided,
            probabilities=probabilities,
            loss=multilabel_loss(logits, scores.labels).mean(axis=1),
        ),
    )


def _worst(mistaken: np.ndarray[Any, Any], rank: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Return (image, label) of the mistakes of the least rank, each image at most once."""
    rows, labels = np.nonzero(mistaken)
    order = np.argsort(rank[rows, labels], kind="stable")
    chosen: dict[int, int] = {}
    for at in order.tolist():
        chosen.setdefault(int(rows[at]), int(labels[at]))
        if len(chosen) == SHOWN:
            break
    return list(chosen.items())
