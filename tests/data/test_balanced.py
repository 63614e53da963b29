"""A class-balanced part of a data set."""

from __future__ import annotations

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.data.open import open_dataset, reopen
from residua.data.splitting import balanced


@pytest.mark.parametrize("count", [0, 1, 7, 30, 61, 100, 1000])
def test_as_many_of_each_class_as_there_are(count: int) -> None:
    labels = np.repeat([0, 1, 2, 3], [50, 5, 30, 20])[np.random.default_rng(0).permutation(105)]
    if count == 0:
        return
    chosen = balanced(labels, count, seed=3)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, 105)
    assert (np.diff(chosen) > 0).all()
    found = np.bincount(labels[chosen], minlength=4)
    # No class has fewer than another has, unless it gave all or lacks the one that did not divide.
    whole = np.bincount(labels, minlength=4)
    assert all(found[a] >= found.max() - 1 or found[a] == whole[a] for a in range(4))
    assert set(balanced(labels, count // 2, seed=3)) <= set(chosen) if count > 1 else True
    assert np.array_equal(chosen, balanced(labels, count, seed=3))


def test_a_data_set_with_fewer_training_images_opens_again_as_it_was() -> None:
    whole, part = open_dataset("digits", seed=2), open_dataset("digits", seed=2, train_images=100)
    assert len(part.splits["train"]) == 100
    assert np.bincount(part.splits["train"].labels).tolist() == [10] * 10
    for name in ("val", "test"):
        assert np.array_equal(part.splits[name].labels, whole.splits[name].labels)
    assert part.hash == whole.hash
    again = reopen(part.describe(full=True))
    assert np.array_equal(again.splits["train"].images.pixels, part.splits["train"].images.pixels)
    assert any("100 of the" in note for note in part.notes)
    other = open_dataset("digits", seed=3, train_images=100)
    assert not np.array_equal(other.splits["train"].images.pixels, part.splits["train"].images.pixels)
    with pytest.raises(InputError, match="train_images=-1"):
        open_dataset("digits", train_images=-1)
