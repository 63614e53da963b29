"""Four scores of being unknown; each is greater for what is less like the training images.

| score | source | what it computes |
|---|---|---|
| softmax | Hendrycks & Gimpel 2017 | 1 minus the greatest probability |
| energy | Liu et al. 2020 | -T · logsumexp(logits / T) |
| knn | Sun et al. 2022 | the distance to the k-th nearest training image, of features of length 1 |
| mahalanobis | Lee et al. 2018 | half the squared distance to the nearest class mean, under the classes' covariance |
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError
from residua.specs.rejection import LOGIT_SCORES, MOST_BYTES, Rejection, ScoreName, StoredArray

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[np.floating]]

_RIDGE = 1e-6  # on the sum of squares within classes, so that it can be inverted
_ROWS = 1024


def logit_scores(score: ScoreName, logits: Floats, temperature: float) -> Doubles:
    """Return the scores (B,) of logits (B, K), by "softmax" or "energy"."""
    values = np.asarray(logits, np.float64) / temperature
    greatest = values.max(axis=1)
    total = np.exp(values - greatest[:, None]).sum(axis=1)
    if score == "softmax":
        return np.asarray(1 - 1 / total)
    return np.asarray(-temperature * (greatest + np.log(total)))


def feature_scores(score: ScoreName, features: Floats, arrays: Arrays, neighbours: int) -> Doubles:
    """Return the scores (B,) of features (B, D), by "knn" or "mahalanobis".

    Raises:
        InputError: features of another width than the arrays.
    """
    width = next(iter(arrays.values())).shape[1]
    if features.shape[1] != width:
        raise InputError(f"features of {features.shape[1]} numbers", f"{width}, as in calibration", "Calibrate again")
    compare = _knn if score == "knn" else _mahalanobis
    parts = [compare(features[start : start + _ROWS], arrays, neighbours) for start in range(0, len(features), _ROWS)]
    return np.concatenate(parts) if parts else np.empty(0)


def _knn(features: Floats, arrays: Arrays, neighbours: int) -> Doubles:
    references = arrays["references"].astype(np.float64)
    values = unit(features)
    products = values @ references.T
    squares = (values**2).sum(axis=1)[:, None] + (references**2).sum(axis=1) - 2 * products
    kth = np.partition(squares, neighbours - 1, axis=1)[:, neighbours - 1]
    return np.asarray(np.sqrt(np.maximum(kth, 0)))


def _mahalanobis(features: Floats, arrays: Arrays, neighbours: int) -> Doubles:
    precision = arrays["precision"].astype(np.float64)
    nearest = np.full(len(features), np.inf)
    for mean in arrays["means"].astype(np.float64):
        offset = np.asarray(features, np.float64) - mean
        np.minimum(nearest, 0.5 * ((offset @ precision) * offset).sum(axis=1), out=nearest)
    return nearest


def fit_arrays(score: ScoreName, features: Floats, labels: npt.NDArray[np.int64], neighbours: int) -> Arrays:
    """Return what the features of other images are compared with; {} for scores of logits.

    Args:
        score: its name.
        features: (N, D), of training images.
        labels: (N,), their classes.
        neighbours: the k of "knn".

    Raises:
        InputError: fewer images than neighbours; arrays of more than 32 MB.
    """
    if score in LOGIT_SCORES:
        return {}
    width = features.shape[1]
    if score == "knn":
        if len(features) < neighbours:
            raise InputError(f"{len(features)} training images", f"at least neighbours={neighbours}", "Use energy")
        return {"references": unit(features[: MOST_BYTES // (4 * width)])}
    classes = np.unique(labels)
    if 4 * width * (width + len(classes)) > MOST_BYTES:
        raise InputError(
            f"score='mahalanobis' of features of {width} numbers, whose covariance takes {4 * width**2 / 1e6:.0f} MB",
            f"at most {MOST_BYTES >> 20} MB",
            "Use score='knn'",
        )
    values = np.asarray(features, np.float64)
    means = np.stack([values[labels == label].mean(axis=0) for label in classes])
    offsets = values - means[np.searchsorted(classes, labels)]
    covariance = (offsets.T @ offsets + _RIDGE * np.eye(width)) / len(values)
    return {"means": means, "precision": np.linalg.inv(covariance)}


def unit(features: Floats) -> Doubles:
    """Return each row divided by its length; a row of zeros stays."""
    values = np.asarray(features, np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))


def stored(arrays: Arrays) -> dict[str, StoredArray]:
    """Return arrays as a bundle holds them."""
    return {
        name: StoredArray((each.shape[0], each.shape[1]), base64.b64encode(each.astype("<f4").tobytes()).decode())
        for name, each in arrays.items()
    }


def restored(rejection: Rejection) -> Arrays:
    """Undo `stored`.

    Raises:
        InputError: numbers that are not finite, or fewer rows than neighbours.
    """
    arrays = {name: np.frombuffer(a.content, "<f4").reshape(a.shape) for name, a in rejection.arrays.items()}
    few = rejection.score == "knn" and len(arrays["references"]) < rejection.neighbours
    if few or not all(np.isfinite(each).all() for each in arrays.values()):
        raise InputError("a rejection whose arrays hold too few or no numbers", "finite numbers", "Calibrate again")
    return arrays
