"""Randomness is a pure function of its arguments, and looks random."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from residua.data.random import order, step_seed, uniforms


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 10_000), st.integers(0, 3000))
def test_order_is_a_permutation(seed: int, epoch: int, n: int) -> None:
    assert np.array_equal(np.sort(order(seed, epoch, n)), np.arange(n))


def test_order_differs_between_epochs_and_seeds() -> None:
    orders = [order(seed, epoch, 1000) for seed in range(3) for epoch in range(3)]
    for first in range(9):
        for second in range(first):
            # Of two independent permutations about one element stands at the same place.
            assert (orders[first] == orders[second]).sum() < 12


def test_values_never_change() -> None:
    """The numbers that recorded runs were trained with: changing them would break every exact resume."""
    assert order(0, 0, 8).tolist() == [7, 2, 4, 5, 3, 1, 6, 0]
    assert uniforms(7, 3, [0, 5, 2**40], 2).tolist() == [
        [0.4524272084236145, 0.6502465009689331],
        [0.5465006232261658, 0.5996642708778381],
        [0.9135614633560181, 0.9679178595542908],
    ]


def test_uniforms_do_not_depend_on_the_batch() -> None:
    whole = uniforms(1, 2, np.arange(100), 7)
    assert np.array_equal(uniforms(1, 2, [41, 3, 99], 7), whole[[41, 3, 99]])
    assert np.array_equal(uniforms(1, 2, np.arange(100), 3), whole[:, :3])


def test_uniforms_are_uniform_and_uncorrelated() -> None:
    values = uniforms(0, 0, np.arange(200_000), 4)
    assert values.dtype == np.float32
    assert 0 <= values.min() <= values.max() < 1
    counts = np.stack([np.histogram(column, 64, (0, 1))[0] for column in values.T])
    expected = 200_000 / 64
    # Chi-squared with 63 degrees of freedom exceeds 130 with a probability below 1e-6.
    assert (((counts - expected) ** 2 / expected).sum(1) < 130).all()
    assert np.abs(np.corrcoef(values.T) - np.eye(4)).max() < 0.015
    assert abs(np.corrcoef(values[:-1, 0], values[1:, 0])[0, 1]) < 0.015


def test_step_seeds_differ_and_depend_on_both() -> None:
    seeds = {step_seed(seed, step) for seed in range(20) for step in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
