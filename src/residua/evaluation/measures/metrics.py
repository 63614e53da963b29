"""Metrics of a classifier, counted from its logits: exact at any batch size, without scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import counted

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
_ROWS = 4096  # images at a time: their logits are copied in double precision


class NotFinite(InputError):
    """Logits that hold NaN or infinity: no rate computed from them would mean anything."""


@dataclass(frozen=True)
class ClassMetrics:
    """One row of the per-class table; rates are fractions of 1.

    Attributes:
        name: the class.
        support: images whose true class this is.
        predicted: images that were given this class.
        precision: correct / predicted; 0 when the class was never predicted.
        recall: correct / support; 0 when the class has no images.
        f1: harmonic mean of precision and recall; 0 when both are 0.
    """

    name: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Metrics:
    """The metrics of a pass over a labelled set; rates are fractions of 1.

    Attributes:
        count: images.
        top1: share of images whose largest logit is the true class's.
        top1_interval: Wilson's 95% interval of `top1`.
        top5: share of images whose true class is among the five largest logits; 1 when there are at most five classes.
        top5_interval: Wilson's 95% interval of `top5`.
        loss: mean cross-entropy, nats; the mean log-likelihood of an image is its negative.
        brier: mean squared distance of the probabilities from the truth, summed over the classes: 0 to 2 (Brier 1950).
        macro_f1: mean F1 over the classes that occur, as truth or as prediction.
        balanced_accuracy: mean recall over the classes that have images.
        balanced_accuracy_interval: its 95% interval, see `mean_recall_interval`.
        per_class: one row per class, in class order.
        confusion: int64 (K, K); row: true class, column: predicted class.
    """

    count: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    top5_interval: tuple[float, float]
    loss: float
    brier: float
    macro_f1: float
    balanced_accuracy: float
    balanced_accuracy_interval: tuple[float, float]
    per_class: tuple[ClassMetrics, ...]
    confusion: IntArray


@dataclass(frozen=True)
class Outcome:
    """The outcome of each image of a batch, on the CPU: all arrays have shape (B,).

    Attributes:
        label: the true class.
        predicted: the class with the largest logit, the first of equals.
        probability: of the predicted class.
        true_probability: of the true class.
        loss: cross-entropy, nats.
        brier: squared distance of the probabilities from the truth, summed over the classes.
    """

    label: IntArray
    predicted: IntArray
    probability: FloatArray
    true_probability: FloatArray
    loss: FloatArray
    brier: FloatArray

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether each image was given its true class."""
        right: npt.NDArray[np.bool_] = self.label == self.predicted
        return right

    @classmethod
    def joined(cls, parts: Sequence[Outcome]) -> Outcome:
        """Return the outcome of all batches, one after the other."""
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))


def wilson(successes: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (Wilson 1927), without continuity correction.

    Args:
        successes: successful trials, 0 to `count`.
        count: trials; for none the interval is (0, 1).
        level: confidence, a fraction of 1.

    Raises:
        InputError: `successes` outside 0 to `count`, or `level` outside (0, 1).
    """
    if not 0 <= successes <= count:
        raise InputError(
            f"{successes} successes of {count} trials",
            "0 <= successes <= trials",
            "Count the successes among the trials",
        )
    if not 0 < level < 1:
        raise InputError(f"level={level}", "a confidence between 0 and 1, such as 0.95", "Leave it out for 0.95")
    if count == 0:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    rate = successes / count
    centre = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(z2 * (rate * (1 - rate) / count + z2 / (4 * count * count))) / (1 + z2 / count)
    # At the ends the interval touches 0 or 1 exactly; rounding must not push it outside.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == count else min(1.0, centre + half)
    return low, high


def mean_recall_interval(correct: IntArray, support: IntArray, level: float = 0.95) -> tuple[float, float]:
    """Return an interval of the mean of independent recalls, from Wilson's intervals of each.

    Distances of the limits are added in squares: the method of variance estimates recovery (Zou and Donner 2008,
    Statistics in Medicine 27:1693).

    Args:
        correct: recognised images of each class, (K,).
        support: its images, (K,), all above 0.
        level: confidence, a fraction of 1.
    """
    recalls = correct / support
    ends = np.array([wilson(int(hits), int(count), level) for hits, count in zip(correct, support, strict=True)])
    below, above = np.sqrt(((ends - recalls[:, None]) ** 2).sum(axis=0)) / len(support)
    mean = float(recalls.mean())
    return max(0.0, mean - float(below)), min(1.0, mean + float(above))


@dataclass
class Tally:
    """Counts that grow batch by batch. The result does not depend on how the images were batched.

    Of equal logits the one with the lower class index ranks first, in `top1` and `top5` alike.
    """

    num_classes: int
    count: int = 0
    top5_correct: int = 0
    confusion: IntArray = field(init=False)
    _outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise InputError(
                f"num_classes={self.num_classes}", "at least one class", "Give the number of the network's outputs"
            )
        self.confusion = np.zeros((self.num_classes, self.num_classes), np.int64)

    def update(self, logits: Tensor, labels: Tensor) -> Outcome:
        """Count one batch.

        Args:
            logits: (B, K), any float type, any device.
            labels: (B,) class indices.

        Raises:
            NotFinite: a logit is NaN or infinite.
            InputError: shapes or labels that do not fit `num_classes`.
        """
        # Double precision on the CPU: the same numbers from every device, and some have no float64.
        scores = logits.detach().to("cpu", torch.float64)
        truth = labels.detach().to("cpu", torch.int64)
        if scores.ndim != 2 or scores.shape[1] != self.num_classes or truth.shape != scores.shape[:1]:
            raise InputError(
                f"logits of shape {tuple(scores.shape)} and labels of shape {tuple(truth.shape)}",
                f"logits (B, {self.num_classes}) and labels (B,)",
                "Give the logits of one batch and its labels",
            )
        if truth.numel() and (truth.min() < 0 or truth.max() >= self.num_classes):
            raise InputError(
                f"labels from {int(truth.min())} to {int(truth.max())}",
                f"class indices from 0 to {self.num_classes - 1}",
                "Count the classes from 0, in the order of the outputs",
            )
        refuse_not_finite(scores)
        log_probabilities = scores.log_softmax(dim=1)
        true_score = scores.gather(1, truth[:, None])
        index = torch.arange(self.num_classes)
        ahead = (scores > true_score) | ((scores == true_score) & (index < truth[:, None]))
        predicted = scores.argmax(dim=1)
        true_log = log_probabilities.gather(1, truth[:, None])[:, 0]
        probabilities = log_probabilities.exp()
        true_probability = true_log.exp()

        self.top5_correct += int((ahead.sum(dim=1) < 5).sum())
        np.add.at(self.confusion, (truth.numpy(), predicted.numpy()), 1)
        self.count += len(truth)
        outcome = Outcome(
            label=truth.numpy(),
            predicted=predicted.numpy(),
            probability=probabilities.gather(1, predicted[:, None])[:, 0].numpy(),
            true_probability=true_probability.numpy(),
            loss=(-true_log).numpy(),
            brier=_brier(probabilities, truth).numpy(),
        )
        self._outcomes.append(outcome)
        return outcome

    @classmethod
    def joined(cls, parts: Sequence[Tally]) -> Tally:
        """Return the counts of all parts, of the same number of classes."""
        whole = cls(parts[0].num_classes)
        for part in parts:
            whole.count += part.count
            whole.top5_correct += part.top5_correct
            whole.confusion += part.confusion
            whole._outcomes += part._outcomes
        return whole

    def outcome(self) -> Outcome:
        """Return the outcome of every counted image, in the order of counting."""
        return Outcome.joined(self._outcomes)

    def loss(self) -> float:
        """Return the mean cross-entropy, nats; the sum is exact, so that batching cannot change it."""
        return self._mean("loss")

    def _mean(self, name: str) -> float:
        return math.fsum(value for part in self._outcomes for value in getattr(part, name).tolist()) / self.count

    def metrics(self, classes: Sequence[str] | None = None) -> Metrics:
        """Return the metrics of everything counted.

        Args:
            classes: names in class order; by default the indices as text.

        Raises:
            InputError: nothing was counted, or the names do not fit.
        """
        names = tuple(classes) if classes is not None else tuple(str(i) for i in range(self.num_classes))
        if len(names) != self.num_classes:
            raise InputError(
                counted(len(names), "class name"),
                f"{self.num_classes}, one per class",
                "Name every class, or none: they are numbered then",
            )
        count = self.count
        if count == 0:
            raise InputError(
                "no images", "at least one image to compute metrics from", "Update the tally with a batch first"
            )
        correct = np.diagonal(self.confusion)
        support, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        precision = correct / np.maximum(predicted, 1)
        recall = correct / np.maximum(support, 1)
        f1 = 2 * correct / np.maximum(support + predicted, 1)
        hits = int(correct.sum())
        return Metrics(
            count=count,
            top1=hits / count,
            top1_interval=wilson(hits, count),
            top5=self.top5_correct / count,
            top5_interval=wilson(self.top5_correct, count),
            loss=self.loss(),
            brier=self._mean("brier"),
            macro_f1=float(f1[support + predicted > 0].mean()),
            balanced_accuracy=float(recall[support > 0].mean()),
            balanced_accuracy_interval=mean_recall_interval(correct[support > 0], support[support > 0]),
            per_class=tuple(
                ClassMetrics(name, int(s), int(n), float(p), float(r), float(f))
                for name, s, n, p, r, f in zip(names, support, predicted, precision, recall, f1, strict=True)
            ),
            confusion=self.confusion.copy(),
        )


def refuse_not_finite(scores: Tensor) -> None:
    """Refuse logits (B, K) that hold NaN or infinity.

    Raises:
        NotFinite: the message counts the images.
    """
    # A sum is finite only where all its terms are, and faster to compute than a test of each.
    if torch.isfinite(scores.sum(dim=1)).all() or (finite := torch.isfinite(scores).all(dim=1)).all():
        return
    raise NotFinite(
        f"the logits of {int((~finite).sum())} of {counted(len(scores), 'image')} are NaN or infinite",
        "finite logits",
        "The network diverged, or overflowed in reduced precision: evaluate in fp32, or train again "
        "with a lower learning rate",
    )


def _brier(probabilities: Tensor, truth: Tensor) -> Tensor:
    missed = probabilities.clone()
    missed[torch.arange(len(truth)), truth] -= 1
    return missed.square_().sum(dim=1)


def from_logits(logits: Tensor, labels: Tensor, classes: Sequence[str] | None = None) -> Metrics:
    """Return the metrics of all logits (N, K) against labels (N,); errors as in `Tally`."""
    return tally_of(logits, labels).metrics(classes)


def tally_of(logits: Tensor, labels: Tensor) -> Tally:
    """Return the counts of logits (N, K) against labels (N,), 4,096 rows at a time; errors as in `Tally`."""
    tally = Tally(logits.shape[-1])
    for start in range(0, max(len(logits), len(labels)), _ROWS) or (0,):
        tally.update(logits[start : start + _ROWS], labels[start : start + _ROWS])
    return tally
