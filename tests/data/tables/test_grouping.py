"""Groups are never parted, and classes stay as even as whole groups allow; scikit-learn is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from residua.data.tables.grouping import allot_groups, stratify_groups


def drawn(seed: int, groups: int, classes: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and groups of images; groups differ in size, and prefer some classes."""
    random = np.random.default_rng(seed)
    of_group = random.permuted(np.concatenate([np.arange(groups), random.integers(0, groups, images - groups)]))
    taste = random.dirichlet(np.ones(classes), groups)
    labels = np.array([random.choice(classes, p=taste[group]) for group in of_group])
    return labels.astype(np.int64), of_group.astype(np.int64)


def spread(labels: np.ndarray, bins: np.ndarray, count: int) -> float:
    """Return the sum over classes of the variance of images per bin, relative to the class."""
    table = np.array([[(labels[bins == each] == label).sum() for label in np.unique(labels)] for each in range(count)])
    return float((table.var(0) / table.sum(0)).sum())


@given(st.integers(0, 10**6), st.integers(6, 60), st.integers(2, 5), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_no_group_crosses_bins(seed: int, groups: int, classes: int, count: int) -> None:
    labels, of_group = drawn(seed, groups, classes, 4 * groups)
    bins = allot_groups(labels, of_group, count, seed)
    assert all(len(np.unique(bins[of_group == group])) == 1 for group in np.unique(of_group))
    assert set(bins.tolist()) == set(range(count))
    assert np.array_equal(bins, allot_groups(labels, of_group, count, seed))


def test_bins_are_as_even_as_scikit_learn_makes_them() -> None:
    ours, theirs = [], []
    for seed in range(12):
        labels, of_group = drawn(seed, 40, 3, 300)
        bins = np.empty(len(labels), np.int64)
        oracle = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for number, (_, held) in enumerate(oracle.split(labels, labels, of_group)):
            bins[held] = number
        ours.append(spread(labels, allot_groups(labels, of_group, 5, seed), 5))
        theirs.append(spread(labels, bins, 5))
    assert np.mean(ours) < np.mean(theirs)
    assert sum(one <= other + 1e-9 for one, other in zip(ours, theirs, strict=True)) >= 11


def test_groups_that_divide_evenly_are_divided_evenly() -> None:
    of_group = np.repeat(np.arange(20), 6)
    labels = np.tile([0, 0, 0, 1, 1, 2], 20)
    bins = allot_groups(labels, of_group, 5, seed=3)
    for label, wanted in enumerate((12, 8, 4)):
        assert np.bincount(bins[labels == label], minlength=5).tolist() == [wanted] * 5


@given(st.integers(0, 10**6), st.integers(4, 40), st.integers(2, 4), st.sampled_from([0.05, 0.1, 0.2, 0.4]))
@settings(max_examples=40, deadline=None)
def test_every_class_stays_in_what_is_kept(seed: int, groups: int, classes: int, fraction: float) -> None:
    labels, of_group = drawn(seed, groups, classes, 5 * groups)
    kept, held = stratify_groups(labels, of_group, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(labels)))
    assert not set(of_group[kept]) & set(of_group[held])
    assert set(labels[kept]) == set(labels)


def test_the_share_that_is_held_is_near_what_was_asked_for() -> None:
    for seed in range(5):
        labels, of_group = drawn(seed, 60, 3, 600)
        _, held = stratify_groups(labels, of_group, 0.2, seed)
        assert np.bincount(labels[held]) == pytest.approx(0.2 * np.bincount(labels), abs=5)


def test_another_seed_draws_other_groups() -> None:
    labels, of_group = drawn(0, 60, 3, 600)
    held = {tuple(stratify_groups(labels, of_group, 0.1, seed)[1].tolist()) for seed in range(4)}
    assert len(held) >= 3


def test_two_groups_of_all_classes_give_one_each() -> None:
    labels, of_group = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 0, 0, 0, 1, 1])
    kept, held = stratify_groups(labels, of_group, 0.1, 0)
    assert (held.tolist(), kept.tolist()) == ([4, 5], [0, 1, 2, 3])


def test_groups_of_one_class_each_leave_nothing_to_hold() -> None:
    kept, held = stratify_groups(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 0.5, 0)
    assert (len(kept), len(held)) == (4, 0)
