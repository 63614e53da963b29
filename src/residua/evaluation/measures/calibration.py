"""Whether answers of probability p are right in a share p of cases, and the temperature that corrects them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from residua._base.errors import InputError
from residua.evaluation.measures.metrics import FloatArray, IntArray

BINS = 15
_LOWEST, _HIGHEST = 1e-4, 1e4  # inverse temperatures between which the optimum is looked for


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram; rates are fractions of 1.

    Attributes:
        low: least probability of the bin.
        high: greatest.
        count: images whose predicted class has a probability in the bin.
        confidence: their mean probability; 0 when there are none.
        accuracy: share of them that is right; 0 when there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How far confidence and accuracy lie apart; rates are fractions of 1.

    Attributes:
        ece: expected calibration error over bins of equal width (Naeini 2015; Guo 2017, equation 3): the mean of
            |accuracy - confidence|, each bin weighted by its images.
        mce: maximum calibration error (Guo 2017, equation 5): the largest |accuracy - confidence| of a bin.
        ece_equal_mass: `ece` over bins that hold as many images each (Nguyen & O'Connor 2015).
        bins: of equal width, ascending: the reliability diagram.
        bins_equal_mass: of equal numbers of images.
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
        loss_before: mean cross-entropy of the images that it was fitted on, nats.
        loss_after: the same of logits / T: the least that any T gives.
        count: images.
    """

    temperature: float
    loss_before: float
    loss_after: float
    count: int


def calibration(confidence: FloatArray, correct: npt.NDArray[np.bool_], count: int = BINS) -> Calibration:
    """Compare confidence and accuracy, bin by bin.

    Bins of equal width hold low <= p < high, the last one 1 as well.

    Args:
        confidence: (N,), probability of the predicted class.
        correct: (N,), whether it is the true one.
        count: bins.

    Raises:
        InputError: no images, arrays of different lengths, no bins, or values that are no probabilities.
    """
    confidence = np.asarray(confidence, np.float64)
    correct = np.asarray(correct, bool)
    if count < 1:
        raise InputError(f"{count} bins", "at least one")
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence):
        raise InputError(
            f"confidences of shape {confidence.shape} and answers of shape {correct.shape}", "one of each an image"
        )
    # So written that NaN is refused too.
    if not ((confidence >= 0) & (confidence <= 1 + 1e-9)).all():
        raise InputError("confidences that are no probabilities", "numbers from 0 to 1", "Give softmax outputs")
    edges = torch.linspace(0, 1, count + 1, dtype=torch.float64).numpy()
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, count - 1)
    bins = _bins(place, confidence, correct, count, edges)
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
    """Return the temperature of least cross-entropy.

    The loss is convex in 1 / T: its derivative, mean(E_p[z] - z_true), ascends, and its zero is found by Newton's
    steps, with bisection where those would leave the bracket.

    Args:
        logits: (N, K), finite.
        labels: (N,), class indices.

    Raises:
        InputError: there is no optimum: no images, every image is right (the loss falls for ever as T does), or the
            network is no better than chance (it falls for ever as T rises).
    """
    scores, truth = logits.detach().to("cpu", torch.float64), labels.detach().to("cpu", torch.int64)
    if len(scores) == 0 or scores.shape[:1] != truth.shape:
        raise InputError(
            f"logits of shape {tuple(scores.shape)}, labels of shape {tuple(truth.shape)}", "a label an image"
        )
    # A constant for each image changes no probability, and large ones would cancel badly.
    scores = scores - scores.gather(1, truth[:, None])

    def slope(inverse: float) -> tuple[float, float]:
        p = (scores * inverse).softmax(dim=1)
        mean = (p * scores).sum(dim=1)
        return float(mean.mean()), float(((p * scores.square()).sum(dim=1) - mean.square()).mean())

    def loss(inverse: float) -> float:
        return float((scores * inverse).logsumexp(dim=1).mean())

    low, high = _LOWEST, _HIGHEST
    given = f"the {len(truth)} images to fit a temperature on"
    if slope(low)[0] >= 0:
        raise InputError(
            f"{given} are no better told apart than by chance", "a network that has learnt", "Train longer"
        )
    if float(scores.amax()) <= 0 or slope(high)[0] <= 0:
        raise InputError(
            f"{given} are all classified rightly: the colder, the likelier",
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


def _bins(
    place: IntArray,
    confidence: FloatArray,
    correct: npt.NDArray[np.bool_],
    count: int,
    edges: FloatArray | None = None,
) -> tuple[Bin, ...]:
    images = np.bincount(place, minlength=count)
    sure = np.bincount(place, confidence, minlength=count) / np.maximum(images, 1)
    right = np.bincount(place, correct, minlength=count) / np.maximum(images, 1)
    rows = []
    for index in range(count):
        if edges is not None:
            low, high = float(edges[index]), float(edges[index + 1])
        else:
            inside = confidence[place == index]
            low, high = (float(inside.min()), float(inside.max())) if len(inside) else (0.0, 0.0)
        rows.append(Bin(low, high, int(images[index]), float(sure[index]), float(right[index])))
    return tuple(rows)


def _expected(bins: tuple[Bin, ...]) -> float:
    total = sum(row.count for row in bins)
    return math.fsum(row.count / total * abs(row.accuracy - row.confidence) for row in bins)
