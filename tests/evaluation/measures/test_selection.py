"""What to label next: the least margins, and spreads that the formulas themselves give."""

from __future__ import annotations

import numpy as np
import pytest

from residua.data.random import uniforms
from residua.evaluation.measures.selection import by_badge, by_clusters, by_margin, margins


def draw(count: int = 60, classes: int = 4, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    powers = np.exp(random.normal(size=(count, classes)) * 2)
    return powers / powers.sum(1, keepdims=True), random.normal(size=(count, width))


def test_margins() -> None:
    probabilities, _ = draw()
    ordered = np.sort(probabilities, axis=1)
    assert margins(probabilities) == pytest.approx(ordered[:, -1] - ordered[:, -2])
    assert margins(np.ones((2, 1))).tolist() == [1, 1]
    rows = by_margin(probabilities, 7)
    assert margins(probabilities)[rows].tolist() == sorted(margins(probabilities).tolist())[:7]


def test_badge_is_k_means_plus_plus_on_the_gradients() -> None:
    probabilities, features = draw()
    slopes = probabilities - np.eye(4)[probabilities.argmax(1)]
    gradients = (slopes[:, :, None] * features[:, None, :]).reshape(60, -1)
    chosen = [int((gradients**2).sum(1).argmax())]
    for number in uniforms(5, 0, np.arange(8), 1)[1:, 0]:
        near = np.min([((gradients - gradients[row]) ** 2).sum(1) for row in chosen], axis=0)
        chosen.append(int(np.searchsorted(np.cumsum(near), float(number) * near.sum(), side="right")))
    assert by_badge(probabilities, features, 8, seed=5).tolist() == chosen


@pytest.mark.parametrize("choose", [by_badge, by_clusters])
def test_each_image_once_and_all_where_there_are_fewer(choose) -> None:  # type: ignore[no-untyped-def]
    probabilities, features = draw()
    rows = choose(probabilities, features, 20, 0)
    assert len(set(rows.tolist())) == 20
    assert rows.tolist() == choose(probabilities, features, 20, 0).tolist()
    assert sorted(choose(probabilities, features, 100, 0).tolist()) == list(range(60))
    same = np.ones((6, 3))
    assert sorted(choose(np.full((6, 2), 0.5), same, 6, 0).tolist()) == list(range(6))


def test_clusters_take_one_of_each_kind() -> None:
    # Nine copies of each of four directions, all as unsure: doubt alone takes the copies of one.
    features = np.repeat(np.eye(4), 9, axis=0)
    probabilities = np.tile([0.5, 0.5], (36, 1))
    assert set((by_clusters(probabilities, features, 4, 0) // 9).tolist()) == {0, 1, 2, 3}
    assert set((by_badge(probabilities, features, 4, 0) // 9).tolist()) == {0, 1, 2, 3}
    assert set((by_margin(probabilities, 4) // 9).tolist()) == {0}
