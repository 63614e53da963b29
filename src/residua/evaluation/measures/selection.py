"""Choosing images to label: uncertain ones that differ from each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from residua.data.random import uniforms
from residua.evaluation.measures.metrics import FloatArray, IntArray

Vectors = npt.NDArray[np.floating]
CANDIDATES = 10
"""k-means clusters so many times `count` of the most uncertain images (Zhdanov 2019, the factor β)."""
_ROUNDS = 25  # of Lloyd's algorithm: few hundred points have settled long before


def margins(probabilities: FloatArray) -> FloatArray:
    """Return (N,), the greatest probability minus the second: 0 is undecided, 1 is sure; of one class 1."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    result: FloatArray = top[:, 1] - top[:, 0]
    return result


def by_margin(probabilities: FloatArray, count: int) -> IntArray:
    """Return the `count` rows of (N, K) with the least margin, the least first."""
    return np.argsort(margins(probabilities), kind="stable")[:count].astype(np.int64)


def by_badge(probabilities: FloatArray, features: Vectors, count: int, seed: int) -> IntArray:
    """Return rows by BADGE (Ash 2020): k-means++ on the gradients of the classifier's weights.

    The gradient of an image is (p - e) ⊗ h, with e the most probable class and h the features. It is long where the
    network is unsure. The first row is the longest; each further one is drawn with a probability that grows with the
    squared distance to those chosen. Gradients are never formed: their products are products of the two factors.

    Args:
        probabilities: (N, K).
        features: (N, D).
        count: rows to choose; all where there are fewer.
        seed: of the draws.
    """
    slopes = np.array(probabilities, np.float64)
    slopes[np.arange(len(slopes)), slopes.argmax(axis=1)] -= 1
    held = np.asarray(features, np.float64)
    squares = (slopes**2).sum(axis=1) * (held**2).sum(axis=1)
    distances = np.full(len(slopes), np.inf)
    draws = uniforms(seed, 0, np.arange(count), 1)[:, 0]
    chosen: list[int] = []
    for step in range(min(count, len(slopes))):
        row = int(squares.argmax()) if not chosen else _drawn(distances, float(draws[step]), chosen)
        chosen.append(row)
        products = (slopes @ slopes[row]) * (held @ held[row])
        distances = np.minimum(distances, np.maximum(squares + squares[row] - 2 * products, 0))
        distances[row] = 0
    return np.array(chosen, np.int64)


def by_clusters(probabilities: FloatArray, features: Vectors, count: int, seed: int) -> IntArray:
    """Return rows by weighted k-means (Zhdanov 2019): of `count` clusters of uncertain images one each.

    The most uncertain images, ten times `count`, are clustered by features of length 1, weighted by 1 minus the margin.
    The image nearest to each centre is chosen; the most uncertain first.
    """
    unsure = 1 - margins(probabilities)
    candidates = np.argsort(-unsure, kind="stable")[: CANDIDATES * count]
    if len(candidates) <= count:
        return candidates.astype(np.int64)
    points = np.asarray(features[candidates], np.float64)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    weights = np.maximum(unsure[candidates], 1e-9)
    centres = points[_spread(points, weights, count, seed)]
    owners = np.full(len(points), -1)
    for _ in range(_ROUNDS):
        nearest = _squared(points, centres).argmin(axis=1)
        if (nearest == owners).all():
            break
        owners = nearest
        totals = np.bincount(owners, weights, minlength=count)
        sums = np.zeros_like(centres)
        np.add.at(sums, owners, points * weights[:, None])
        centres = np.where(totals[:, None] > 0, sums / np.maximum(totals, 1e-300)[:, None], centres)
    distances = _squared(points, centres)
    chosen: list[int] = []
    for centre in range(count):
        order = np.argsort(distances[:, centre], kind="stable")
        chosen.append(next(int(row) for row in order if int(row) not in chosen))
    rows: IntArray = candidates[np.sort(chosen)].astype(np.int64)
    return rows


def _spread(points: FloatArray, weights: FloatArray, count: int, seed: int) -> list[int]:
    """Return rows that k-means begins with, by weighted k-means++."""
    draws = uniforms(seed, 1, np.arange(count), 1)[:, 0]
    chosen = [int(weights.argmax())]
    distances = _squared(points, points[chosen])[:, 0]
    while len(chosen) < count:
        chosen.append(_drawn(distances * weights, float(draws[len(chosen)]), chosen))
        distances = np.minimum(distances, _squared(points, points[chosen[-1:]])[:, 0])
    return chosen


def _drawn(values: FloatArray, draw: float, chosen: list[int]) -> int:
    """Return a row drawn in proportion to its value; where none has any, the first that is not chosen."""
    sums = np.cumsum(values)
    if sums[-1] <= 0:
        free = np.ones(len(values), bool)
        free[chosen] = False
        return int(free.argmax())
    return int(np.searchsorted(sums, draw * sums[-1], side="right").clip(max=len(values) - 1))


def _squared(points: FloatArray, centres: FloatArray) -> FloatArray:
    """Return squared distances (N, C)."""
    lengths = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    result: FloatArray = np.maximum(lengths - 2 * points @ centres.T, 0)
    return result
