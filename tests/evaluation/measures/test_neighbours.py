"""Neighbours by cosine: equal to scikit-learn's, in any blocks."""

from __future__ import annotations

import numpy as np
import pytest

from residua.evaluation.measures import neighbours
from residua.evaluation.measures.neighbours import Nearest, unit

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(300, 16)).astype(np.float32)
QUERIES = RANDOM.normal(size=(40, 16)).astype(np.float32)


@pytest.mark.parametrize("block", [1, 7, 300])
def test_they_are_those_of_scikit_learn(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sklearn = pytest.importorskip("sklearn.neighbors")
    monkeypatch.setattr(neighbours, "_ROWS", 11)
    monkeypatch.setattr(neighbours, "_QUERIES", 9)
    reference = sklearn.NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(ROWS.astype(float))
    distances, rows = reference.kneighbors(QUERIES.astype(float))
    nearest = Nearest(QUERIES, 5)
    for start in range(0, len(ROWS), block):
        nearest.add(ROWS[start : start + block])
    assert np.array_equal(nearest.rows, rows)
    np.testing.assert_allclose(1 - nearest.cosines, distances, atol=1e-12)


def test_equal_rows_keep_their_order() -> None:
    nearest = Nearest(QUERIES[:1], 3)
    nearest.add(np.repeat(QUERIES[:1], 3, axis=0))
    assert nearest.rows.tolist() == [[0, 1, 2]]
    assert Nearest(QUERIES, 3).rows.shape == (40, 0)


def test_all_rows_where_there_are_fewer() -> None:
    nearest = Nearest(QUERIES, 9)
    nearest.add(ROWS[:4])
    assert nearest.rows.shape == (40, 4)
    assert (np.diff(nearest.cosines, axis=1) <= 0).all()


def test_zeros_are_like_nothing() -> None:
    assert unit(np.zeros((1, 3))).tolist() == [[0, 0, 0]]
