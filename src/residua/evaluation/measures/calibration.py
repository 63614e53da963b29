"""Reliability of probabilities: calibration errors, and the temperature that reduces them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import agree, counted
from residua.evaluation.measures.metrics import FloatArray, IntArray

BINS = 15  # as in Guo 2017: other numbers give other errors
_LOWEST, _HIGHEST = 1e-4, 1e4  # inverse temperatures: the bracket of the search


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram; rates are fractions of 1.

    Attributes:
        low: the lowest probability of the bin.
        high: the highest.
        count: images whose predicted class has a probability in the bin.
        confidence: their mean probability; 0 when there are none.
        accuracy: share of right answers among them; 0 when there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """The distance between confidence and accuracy; rates are fractions of 1.

    Attributes:
        ece: expected calibration error over bins of equal width (Naeini 2015; Guo 2017, equation 3): the mean of
            |accuracy - confidence|, each bin weighted by its images.
        mce: maximum calibration error (Guo 2017, equation 5): the largest |accuracy - confidence| of a bin.
        ece_equal_mass: `ece` over bins with equal numbers of images (Nguyen & O'Connor 2015).
        bins: bins of equal width, ascending: the reliability diagram.
        bins_equal_mass: bins with equal numbers of images.
    """

    ece: float
    mce: float
    ece_equal_mass: float
    bins: tuple[Bin, ...]
    bins_equal_mass: tuple[Bin, ...]


@dataclass(frozen=True)
class Temperature:
    """A temperature fitted by likelihood (Guo 2017, section 4.2).

    Attributes:
        temperature: T of softmax(logits / T); above 1 the network was too sure.
        loss_before: mean cross-entropy on the images that it was fitted on, nats.
        loss_after: the same with logits / T: the least that any T gives.
        count: images.
        fitted: whether there was a best temperature; else it is 1, and the probabilities are the network's own.
    """

    temperature: float
    loss_before: float
    loss_after: float
    count: int
    fitted: bool = True


def calibration(confidence: FloatArray, correct: npt.NDArray[np.bool_], count: int = BINS) -> Calibration:
    """Compare confidence and accuracy, bin by bin.

    Bins of equal width hold low <= p < high, the last one 1 as well.

    Args:
        confidence: (N,), probability of the predicted class.
        correct: (N,), whether it is the true one.
        count: the number of bins.

    Raises:
        InputError: no images, arrays of different lengths, no bins, or values that are not probabilities.
    """
    confidence = np.asarray(confidence, np.float64)
    correct = np.asarray(correct, bool)
    if count < 1:
        raise InputError(f"{count} bins", "at least one", "Use count=15, which is customary")
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence):
        raise InputError(
            f"confidences of shape {confidence.shape} and answers of shape {correct.shape}",
            "one of each per image",
            "Give both as (N,), in the same order",
        )
    # Comparisons with NaN are false: written this way, NaN is refused too.
    if not ((confidence >= 0) & (confidence <= 1 + 1e-9)).all():
        raise InputError("confidences that are not probabilities", "numbers from 0 to 1", "Give softmax outputs")
    edges = torch.linspace(0, 1, count + 1, dtype=torch.float64).numpy()
    bin_index = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, count - 1)
    bins = _bins(bin_index, confidence, correct, count, edges)
    order = np.argsort(confidence, kind="stable")
    mass = np.empty(len(order), np.int64)
    mass[order] = np.arange(len(order)) * count // len(order)
    heavy = tuple(row for row in _bins(mass, confidence, correct, count) if row.count)
    return Calibration(
        ece=_expected(bins),
        mce=max(abs(row.accuracy - row.confidence) for row in bins if row.count),
        ece_equal_mass=_expected(heavy),
        bins=bins,
        bins_equal_mass=heavy,
    )


def fit_temperature(logits: Tensor, labels: Tensor) -> Temperature:
    """Return the temperature that minimises the cross-entropy.

    The loss is convex in 1 / T: its derivative, mean(E_p[z] - z_true), increases. Newton's steps find its zero, with
    bisection where a step would leave the bracket.

    Args:
        logits: (N, K), finite.
        labels: (N,), class indices.

    Raises:
        InputError: there is no optimum: no images; every image is right (the loss falls with T); or the network
            is no better than chance (it falls as T rises).
    """
    scores, truth = logits.detach().to("cpu", torch.float64), labels.detach().to("cpu", torch.int64)
    if len(scores) == 0 or scores.shape[:1] != truth.shape:
        raise InputError(
            f"logits of shape {tuple(scores.shape)}, labels of shape {tuple(truth.shape)}",
            "one label per image",
            "Give logits (N, classes) and labels (N,) of the same images",
        )
    # Subtracting a constant per image changes no probability and avoids cancellation between large logits.
    scores = scores - scores.gather(1, truth[:, None])

    def slope(inverse: float) -> tuple[float, float]:
        p = (scores * inverse).softmax(dim=1)
        mean = (p * scores).sum(dim=1)
        return float(mean.mean()), float(((p * scores.square()).sum(dim=1) - mean.square()).mean())

    def loss(inverse: float) -> float:
        return float((scores * inverse).logsumexp(dim=1).mean())

    low, high = _LOWEST, _HIGHEST
    subject = f"the {counted(len(truth), 'image')} to fit a temperature on {agree(len(truth), 'is', 'are')}"
    if slope(low)[0] >= 0:
        raise InputError(f"{subject} classified no better than by chance", "a network that has learnt", "Train longer")
    if float(scores.amax()) <= 0 or slope(high)[0] <= 0:
        raise InputError(
            f"{subject} all classified correctly: the likelihood rises without bound as the temperature falls",
            "images of which some are classified wrongly",
            "Give more validation images: a larger val_fraction=… in training, or a larger val/ folder",
        )
    inverse = 1.0
    for _ in range(200):
        value, curvature = slope(inverse)
        if value > 0:
            high = inverse
        else:
            low = inverse
        step = inverse - value / curvature if curvature > 0 else math.nan
        nearer = step if low < step < high else math.sqrt(low * high)
        if abs(nearer - inverse) <= 1e-14 * inverse:
            break
        inverse = nearer
    return Temperature(1 / inverse, loss(1.0), loss(inverse), len(truth))


def all_right(logits: Tensor, labels: Tensor) -> bool:
    """Return whether every image (N, K) has its true class on top: then no temperature is the best."""
    behind = logits - logits.gather(1, labels[:, None])
    return bool((behind <= 0).all() and (behind < 0).any())


def unfitted(logits: Tensor, labels: Tensor) -> Temperature:
    """Return the temperature 1 for images (N, K) on which none can be fitted."""
    loss = float(torch.nn.functional.cross_entropy(logits.double(), labels))
    return Temperature(1.0, loss, loss, len(labels), fitted=False)


def _bins(
    bin_index: IntArray,
    confidence: FloatArray,
    correct: npt.NDArray[np.bool_],
    count: int,
    edges: FloatArray | None = None,
) -> tuple[Bin, ...]:
    images = np.bincount(bin_index, minlength=count)
    sure = np.bincount(bin_index, confidence, minlength=count) / np.maximum(images, 1)
    right = np.bincount(bin_index, correct, minlength=count) / np.maximum(images, 1)
    rows = []
    for index in range(count):
        if edges is not None:
            low, high = float(edges[index]), float(edges[index + 1])
        else:
            inside = confidence[bin_index == index]
            low, high = (float(inside.min()), float(inside.max())) if len(inside) else (0.0, 0.0)
        rows.append(Bin(low, high, int(images[index]), float(sure[index]), float(right[index])))
    return tuple(rows)


def _expected(bins: tuple[Bin, ...]) -> float:
    total = sum(row.count for row in bins)
    return math.fsum(row.count / total * abs(row.accuracy - row.confidence) for row in bins)
