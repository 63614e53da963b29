"""Scores of being unknown: those of pytorch-ood, to the last digits."""

from __future__ import annotations

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.evaluation.rejection.scores import feature_scores, fit_arrays, logit_scores, unit

RANDOM = np.random.default_rng(7)
LOGITS = RANDOM.normal(size=(4, 5)) * 3
TRAIN = RANDOM.normal(size=(60, 6))
LABELS = np.arange(60) % 3
TRAIN += LABELS[:, None]
FEATURES = RANDOM.normal(size=(4, 6)) * 2

# pytorch-ood 0.4.0 in float64, of the numbers above: MaxSoftmax(t=1.5), EnergyBased(t=1), KNN(k=10), and Mahalanobis
# times 60, the number of images, by which it does not divide the covariance.
SOFTMAX = [-0.4579153585836953, -0.8832776433005618, -0.378424284261544, -0.8763984628677992]
ENERGY = [-1.4394069968436676, -4.0495167941124794, -2.2631959406692426, -2.121931537599442]
KNN = [1.194132612049491, 1.2138535913851924, 1.1958032234516343, 1.1270063253985665]
MAHALANOBIS = [15.029536818029225, 6.745052136561664, 9.254962063742177, 8.249959224112416]


def test_scores_of_logits() -> None:
    assert logit_scores("softmax", LOGITS, 1.5) - 1 == pytest.approx(SOFTMAX, abs=1e-12)
    assert logit_scores("energy", LOGITS, 1.0) == pytest.approx(ENERGY, abs=1e-12)
    huge = logit_scores("energy", LOGITS * 1e4, 1.0)
    assert np.isfinite(huge).all()


def test_distance_to_the_nearest_images() -> None:
    arrays = fit_arrays("knn", TRAIN, LABELS, 10)
    assert feature_scores("knn", FEATURES, arrays, 10) == pytest.approx(KNN, abs=1e-12)
    themselves = feature_scores("knn", TRAIN, arrays, 1)
    assert themselves == pytest.approx(0, abs=1e-7)


def test_distance_to_the_nearest_class() -> None:
    arrays = fit_arrays("mahalanobis", TRAIN, LABELS, 10)
    assert feature_scores("mahalanobis", FEATURES, arrays, 10) == pytest.approx(MAHALANOBIS, rel=1e-9)


def test_they_are_those_of_the_installed_package() -> None:
    torch = pytest.importorskip("torch")
    detectors = pytest.importorskip("pytorch_ood.detector", reason="no pytorch-ood: pip install 'residua[peers]'")
    values = [torch.from_numpy(each) for each in (LOGITS, TRAIN, LABELS, FEATURES)]
    assert detectors.MaxSoftmax(None, t=1.5).predict_logits(values[0]).tolist() == pytest.approx(SOFTMAX, abs=1e-9)
    assert detectors.EnergyBased(None).predict_logits(values[0]).tolist() == pytest.approx(ENERGY, abs=1e-9)
    knn = detectors.KNN(None, k=10).fit_features(values[1], values[2])
    assert knn.predict_features(values[3]).tolist() == pytest.approx(KNN, abs=1e-9)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        nearest = detectors.Mahalanobis(None).fit_features(values[1], values[2]).predict_features(values[3])
    finally:
        torch.set_default_dtype(before)
    assert (60 * nearest).tolist() == pytest.approx(MAHALANOBIS, rel=1e-9)


def test_refusals() -> None:
    with pytest.raises(InputError, match="60 training images"):
        fit_arrays("knn", TRAIN, LABELS, 61)
    with pytest.raises(InputError, match="covariance takes 67 MB"):
        fit_arrays("mahalanobis", np.zeros((4, 4096)), np.zeros(4, np.int64), 1)
    with pytest.raises(InputError, match="features of 5 numbers"):
        feature_scores("knn", FEATURES[:, :5], fit_arrays("knn", TRAIN, LABELS, 10), 10)
    assert unit(np.zeros((1, 3))).tolist() == [[0, 0, 0]]
    assert fit_arrays("energy", TRAIN, LABELS, 10) == {}
