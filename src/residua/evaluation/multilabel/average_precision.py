"""Average precision of labels: the area under precision and recall, as scikit-learn and torchmetrics define it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from residua.evaluation.measures.metrics import FloatArray, IntArray

_RESAMPLES, _LEAST, _NUMBERS = 1000, 100, 1 << 26
"""Of the bootstrap: its rounds, the fewest of them, and how many numbers may be computed in all."""
_CHUNK = 50  # rounds at a time: they bound the memory


def average_precisions(scores: FloatArray, labels: IntArray) -> FloatArray:
    """Return the average precision of each label, (K,): Σ (R_n - R_(n-1)) P_n over the distinct scores, falling.

    Images of equal score count together, so that their order does not matter. NaN where no image has the label.

    Args:
        scores: (N, K), greater for what is surer; logits and probabilities give the same.
        labels: (N, K), 1 where an image has the label, else 0.
    """
    weights = np.ones((1, len(scores)))
    return np.array([_weighted(*_ranked(scores[:, k], labels[:, k]), weights)[0] for k in range(scores.shape[1])])


def mean_of(precisions: Sequence[float] | FloatArray) -> float:
    """Return the mean over the labels that some image has; 0 where no image has any."""
    known = np.asarray(precisions)[~np.isnan(precisions)]
    return float(known.mean()) if len(known) else 0.0


def mean_interval(scores: FloatArray, labels: IntArray, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the mean average precision: as many standard errors to both sides as `level` takes.

    The standard error is that of the bootstrap. Its percentiles would lie too high: an image that is drawn twice
    supports itself in the ranking.

    Args:
        scores: (N, K).
        labels: (N, K) of 0 and 1.
        level: confidence, a fraction of 1.
    """
    mean = mean_of(average_precisions(scores, labels))
    half = NormalDist().inv_cdf(0.5 + level / 2) * float(resampled_means([scores], labels)[0].std(ddof=1))
    return max(0.0, mean - half), min(1.0, mean + half)


def paired_difference(
    first: FloatArray, second: FloatArray, labels: IntArray, level: float = 0.95
) -> tuple[float, tuple[float, float], float]:
    """Return the mean average precision of `first` less that of `second`, its interval, and p.

    Both are judged on the same resamples. p is that of a normal test, two-sided, so that it agrees with the interval.

    Args:
        first: scores (N, K) of one.
        second: of the other.
        labels: (N, K) of 0 and 1.
        level: confidence of the interval, a fraction of 1.
    """
    difference = mean_of(average_precisions(first, labels)) - mean_of(average_precisions(second, labels))
    one, other = resampled_means([first, second], labels)
    error = float((one - other).std(ddof=1))
    half = NormalDist().inv_cdf(0.5 + level / 2) * error
    p = 2 * NormalDist().cdf(-abs(difference) / error) if error else float(difference == 0)
    return difference, (difference - half, difference + half), p


def resampled_means(scores: Sequence[FloatArray], labels: IntArray) -> list[FloatArray]:
    """Return the mean average precision of each of several scorers on the same resamples of the images, (B,) each.

    The bootstrap of Efron 1979: N images are drawn with replacement, all labels of an image together. B is 1,000, and
    fewer of very many images; the draws are the same every time.
    """
    count, classes = labels.shape
    rounds = int(np.clip(_NUMBERS // max(count * classes * len(scores), 1), _LEAST, _RESAMPLES))
    generator = np.random.Generator(np.random.PCG64(0))
    ranked = [[_ranked(each[:, k], labels[:, k]) for k in range(classes)] for each in scores]
    means: list[list[FloatArray]] = [[] for _ in scores]
    for start in range(0, rounds, _CHUNK):
        draws = generator.integers(0, count, (min(_CHUNK, rounds - start), count))
        weights = np.stack([np.bincount(row, minlength=count) for row in draws]).astype(np.float64)
        for at, each in enumerate(ranked):
            precisions = np.stack([_weighted(*one, weights) for one in each], axis=1)
            known = ~np.isnan(precisions)
            total = np.where(known, precisions, 0).sum(axis=1)
            means[at].append(total / np.maximum(known.sum(axis=1), 1))
    return [np.concatenate(parts) for parts in means]


def _ranked(scores: FloatArray, labels: IntArray) -> tuple[IntArray, FloatArray, npt.NDArray[np.int64]]:
    """Return the images from the greatest score on, their labels, and the last place of each distinct score."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return order, labels[order].astype(np.float64), ends


def _weighted(order: IntArray, labels: FloatArray, ends: npt.NDArray[np.int64], weights: FloatArray) -> FloatArray:
    """Return the average precision of one label for several weightings of the images, (B, N) -> (B,)."""
    shares = weights[:, order]
    hits = np.cumsum(shares * labels, axis=1)[:, ends]
    count = np.cumsum(shares, axis=1)[:, ends]
    precision = hits / np.maximum(count, 1)
    gained = np.diff(hits, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore"):
        area: FloatArray = (gained * precision).sum(axis=1) / hits[:, -1]
    return area
