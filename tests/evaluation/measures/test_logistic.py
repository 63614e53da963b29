"""Logistic regression: scikit-learn's minimum, and answers out of fold."""

from __future__ import annotations

import numpy as np
import pytest

from residua.evaluation.measures.logistic import PENALTIES, fit_logistic, out_of_fold, standardised


def clusters(count: int = 300, classes: int = 4, width: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    return random.normal(size=(count, width)) + 1.2 * random.normal(size=(classes, width))[labels], labels


@pytest.mark.parametrize("penalty", [1e-3, 1e-1])
def test_the_minimum_is_that_of_scikit_learn(penalty: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    features, labels = clusters()
    ours = fit_logistic(features, labels, 4, penalty=penalty, tolerance=1e-9)
    theirs = linear.LogisticRegression(C=1 / (len(labels) * penalty), tol=1e-10, max_iter=10_000).fit(features, labels)
    assert np.exp(ours.log_probabilities(features)) == pytest.approx(theirs.predict_proba(features), abs=1e-6)
    assert ours.weights == pytest.approx(theirs.coef_, abs=1e-5)


def test_no_image_is_answered_by_what_learnt_from_it() -> None:
    # Labels without any relation to the features: only a classifier that has seen them knows them.
    random = np.random.default_rng(1)
    features, labels = random.normal(size=(200, 150)), random.integers(0, 2, 200)
    answers = out_of_fold(features, labels, 2, np.arange(200) % 5)
    assert answers.sum(axis=1) == pytest.approx(1)
    assert abs((answers.argmax(axis=1) == labels).mean() - 0.5) < 0.12
    seen = fit_logistic(standardised(features), labels, 2, penalty=1e-4)
    assert (seen.log_probabilities(standardised(features)).argmax(axis=1) == labels).mean() > 0.95


def test_a_fold_is_answered_as_the_others_fit_it() -> None:
    features, labels = clusters()
    folds = np.arange(len(labels)) % 3
    answers = out_of_fold(features, labels, 4, folds)
    assert (answers.argmax(axis=1) == labels).mean() > 0.8
    scaled, held = standardised(features), folds == 0
    fits = [fit_logistic(scaled[~held], labels[~held], 4, penalty=penalty) for penalty in PENALTIES]
    gaps = [np.abs(np.exp(fit.log_probabilities(scaled[held])) - answers[held]).max() for fit in fits]
    closest, *others = sorted(gaps)
    assert closest < 1e-2, "a fit is ended earlier there"
    assert min(others) > 0.1
