"""Metrics of images with several labels each, and the thresholds that turn probabilities into labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import FloatArray, IntArray, refuse_not_finite, wilson
from residua.evaluation.multilabel.average_precision import average_precisions, mean_interval, mean_of
from residua.evaluation.sigmoid import sigmoid
from residua.specs.multilabel import NOT_CHOSEN

Decisions = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelMetrics:
    """One row of the table of labels; rates are fractions of 1.

    Attributes:
        name: the label.
        support: images that have it.
        predicted: images that were given it.
        average_precision: area under precision and recall; None where no image has the label.
        precision: correct / predicted; 0 when the label was never predicted.
        recall: correct / support; 0 when no image has it.
        f1: harmonic mean of precision and recall; 0 when both are 0.
        threshold: the probability from which on an image is given the label.
    """

    name: str
    support: int
    predicted: int
    average_precision: float | None
    precision: float
    recall: float
    f1: float
    threshold: float


@dataclass(frozen=True)
class MultilabelMetrics:
    """The metrics of a pass over images with several labels each; rates are fractions of 1.

    Attributes:
        count: images.
        mean_average_precision: mean over the labels that some image has; it needs no thresholds.
        mean_average_precision_interval: its 95% interval, see `mean_interval`.
        micro_precision: of all decisions for a label together, the share that is right.
        micro_recall: of all labels that images have, the share that was given.
        micro_f1: harmonic mean of the two.
        macro_f1: mean F1 over the labels that occur, as truth or as prediction.
        exact_match: share of images that were given exactly their labels (subset accuracy).
        exact_match_interval: Wilson's 95% interval of it.
        hamming_loss: share of wrong decisions among all pairs of image and label.
        loss: mean binary cross-entropy over images and labels, nats.
        per_label: one row per label, in class order.
    """

    count: int
    mean_average_precision: float
    mean_average_precision_interval: tuple[float, float]
    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_f1: float
    exact_match: float
    exact_match_interval: tuple[float, float]
    hamming_loss: float
    loss: float
    per_label: tuple[LabelMetrics, ...]


def multilabel_loss(logits: FloatArray, labels: IntArray) -> FloatArray:
    """Return the binary cross-entropy of each pair of image and label, nats, (N, K)."""
    loss: FloatArray = np.logaddexp(0, logits) - logits * labels
    return loss


def multilabel_metrics(
    logits: Tensor,
    labels: IntArray,
    thresholds: Sequence[float] | FloatArray,
    classes: Sequence[str] | None = None,
    *,
    interval: bool = True,
) -> MultilabelMetrics:
    """Return the metrics of logits (N, K) against labels (N, K) of 0 and 1.

    Args:
        logits: any float type, any device.
        labels: 1 where an image has the label, else 0.
        thresholds: (K,), the probability from which on an image is given the label.
        classes: names in class order; by default the indices as text.
        interval: whether the interval of the mean average precision is computed; else it is (0, 1).

    Raises:
        NotFinite: a logit is NaN or infinite.
        InputError: no images; shapes that do not fit.
    """
    values = checked_logits(logits, labels)
    decided = sigmoid(values) >= np.asarray(thresholds)
    truth = labels > 0
    count, classes_count = truth.shape
    hits, support, predicted = (each.sum(axis=0) for each in (decided & truth, truth, decided))
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    precisions = average_precisions(values, labels)
    exact = int((decided == truth).all(axis=1).sum())
    occurs = support + predicted > 0
    all_hits, all_support, all_predicted = int(hits.sum()), int(support.sum()), int(predicted.sum())
    return MultilabelMetrics(
        count=count,
        mean_average_precision=mean_of(precisions),
        mean_average_precision_interval=mean_interval(values, labels) if interval else (0.0, 1.0),
        micro_precision=all_hits / max(all_predicted, 1),
        micro_recall=all_hits / max(all_support, 1),
        micro_f1=2 * all_hits / max(all_support + all_predicted, 1),
        macro_f1=float(f1[occurs].mean()) if occurs.any() else 0.0,
        exact_match=exact / count,
        exact_match_interval=wilson(exact, count),
        hamming_loss=float((decided != truth).mean()),
        loss=math.fsum(multilabel_loss(values, labels).sum(axis=1).tolist()) / (count * classes_count),
        per_label=tuple(
            LabelMetrics(
                name=str(index) if classes is None else classes[index],
                support=int(support[index]),
                predicted=int(predicted[index]),
                average_precision=None if math.isnan(precisions[index]) else float(precisions[index]),
                precision=float(hits[index] / max(predicted[index], 1)),
                recall=float(hits[index] / max(support[index], 1)),
                f1=float(f1[index]),
                threshold=float(thresholds[index]),
            )
            for index in range(classes_count)
        ),
    )


def choose_thresholds(logits: Tensor, labels: IntArray) -> tuple[float, ...]:
    """Return for each label the probability from which on giving it has the greatest F1 on these images, (K,).

    It lies half way between two probabilities of images. Of equal F1, the one nearest to one half is taken. A label
    that no image has gets 0.5.

    Raises:
        NotFinite: a logit is NaN or infinite.
        InputError: no images; shapes that do not fit.
    """
    probabilities = sigmoid(checked_logits(logits, labels))
    return tuple(_threshold(probabilities[:, index], labels[:, index]) for index in range(labels.shape[1]))


def _threshold(probabilities: FloatArray, labels: IntArray) -> float:
    positives = int(labels.sum())
    if not positives:
        return NOT_CHOSEN
    order = np.argsort(-probabilities, kind="stable")
    falling = probabilities[order]
    ends = np.flatnonzero(np.append(np.diff(falling) != 0, True))
    f1 = 2 * np.cumsum(labels[order])[ends] / (ends + 1 + positives)
    below = np.append(falling[ends[:-1] + 1], 0.0)
    middles = (falling[ends] + below) / 2
    best = np.flatnonzero(f1 == f1.max())
    return float(middles[best[np.argmin(np.abs(middles[best] - 0.5))]])


def checked_logits(logits: Tensor, labels: IntArray) -> FloatArray:
    """Return logits (N, K) in double precision, which rank labels (N, K).

    Raises:
        NotFinite: a logit is NaN or infinite.
        InputError: no images; shapes that do not fit.
    """
    scores = logits.detach().to("cpu", torch.float64)
    if scores.ndim != 2 or tuple(scores.shape) != labels.shape or not len(labels):
        raise InputError(
            f"logits of shape {tuple(scores.shape)} and labels of shape {labels.shape}",
            "logits (N, K) and labels (N, K) of at least one image",
            "Give the logits of all images and their labels",
        )
    refuse_not_finite(scores)
    values: FloatArray = scores.numpy()
    return values
