"""Multinomial logistic regression on features, and its answers to images that it has not learnt from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from residua.evaluation.measures.metrics import FloatArray, IntArray

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Strengths that `out_of_fold` chooses from, of features with deviation 1; a greater one gives flatter answers."""
_MOST_STEPS = 300

Features = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class LogisticRegression:
    """A linear classifier.

    Attributes:
        weights: (K, D).
        biases: (K,).
    """

    weights: FloatArray = field(repr=False)
    biases: FloatArray = field(repr=False)

    def log_probabilities(self, features: Features) -> FloatArray:
        """Return (N, K) of features (N, D)."""
        return _log_softmax(features @ self.weights.T.astype(features.dtype) + self.biases)


def fit_logistic(
    features: Features,
    labels: IntArray,
    classes: int,
    *,
    penalty: float,
    start: LogisticRegression | None = None,
    tolerance: float = 1e-5,
) -> LogisticRegression:
    """Return the minimum of the mean cross-entropy plus penalty / 2 times the squared weights; biases are free.

    scikit-learn's `LogisticRegression(C=1 / (N * penalty))` has the same minimum.

    Args:
        features: (N, D).
        labels: int64 (N,).
        classes: K.
        penalty: of the weights, above 0.
        start: where L-BFGS begins; None for zeros.
        tolerance: of the greatest entry of the gradient.
    """
    count, width = features.shape
    rows = np.arange(count)

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        weights, biases = flat[: classes * width].reshape(classes, width), flat[classes * width :]
        logs = _log_softmax(features @ weights.T.astype(features.dtype) + biases)
        residual = np.exp(logs)
        residual[rows, labels] -= 1
        residual /= count
        slope = residual.T.astype(features.dtype) @ features + penalty * weights
        value = -logs[rows, labels].mean() + penalty / 2 * (weights**2).sum()
        return float(value), np.concatenate([slope.ravel(), residual.sum(axis=0)]).astype(np.float64)

    begin = np.zeros(classes * (width + 1))
    if start is not None:
        begin = np.concatenate([start.weights.ravel(), start.biases])
    options = {"maxiter": _MOST_STEPS, "gtol": tolerance, "ftol": 0.0}
    flat = minimize(loss, begin, jac=True, method="L-BFGS-B", options=options).x
    return LogisticRegression(flat[: classes * width].reshape(classes, width), flat[classes * width :])


def out_of_fold(features: Features, labels: IntArray, classes: int, folds: IntArray) -> FloatArray:
    """Return probabilities (N, K), those of each fold by a classifier that was fitted on the others.

    Features are scaled to mean 0 and deviation 1. The penalty is chosen as `choose_penalty` does.

    Args:
        features: (N, D).
        labels: int64 (N,).
        classes: K.
        folds: int64 (N,), the fold of each image.
    """
    return choose_penalty(standardised(features), labels, classes, folds)[1]


def choose_penalty(scaled: Features, labels: IntArray, classes: int, folds: IntArray) -> tuple[float, FloatArray]:
    """Return the penalty of `PENALTIES` whose answers have the least cross-entropy, and its answers (N, K).

    Each fold is answered by a classifier that was fitted on the others; all folds count together.

    Args:
        scaled: (N, D), of mean 0 and deviation 1.
        labels: int64 (N,).
        classes: K.
        folds: int64 (N,), the fold of each image.
    """
    rows = np.arange(len(labels))
    chosen, best, least = max(PENALTIES), np.zeros((len(labels), classes)), np.inf
    fitted: dict[int, LogisticRegression] = {}
    # From the flattest on: each is a good start for the next.
    for penalty in sorted(PENALTIES, reverse=True):
        logs = np.zeros((len(labels), classes))
        for fold in np.unique(folds).tolist():
            held = folds == fold
            fitted[fold] = fit_logistic(
                scaled[~held], labels[~held], classes, penalty=penalty, start=fitted.get(fold), tolerance=1e-4
            )
            logs[held] = fitted[fold].log_probabilities(scaled[held])
        value = -logs[rows, labels].mean()
        if value >= least:
            break  # The loss over the penalty has one valley.
        chosen, best, least = penalty, logs, value
    return chosen, np.exp(best)


def standardised(features: Features) -> npt.NDArray[np.float32]:
    """Return features (N, D) with mean 0 and deviation 1 per column, float32; a constant column becomes 0."""
    means, deviations = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.where(deviations > 0, deviations, 1.0)
    scaled: npt.NDArray[np.float32] = ((features - means) / scale).astype(np.float32)
    return scaled


def _log_softmax(logits: FloatArray) -> FloatArray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
