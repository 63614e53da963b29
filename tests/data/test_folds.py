"""Folds are even, seeded and a pure function of labels, groups and seed; what they cannot do is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.pictures import MakeFolder
from residua._base.errors import InputError
from residua.data.open import open_data, reopen
from residua.data.splitting import Holdout, check_folds, fold_of
from residua.training.recipe import Recipe


@given(st.lists(st.integers(0, 4), min_size=6, max_size=200), st.integers(2, 6), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_each_class_and_all_images_are_even_within_one(labels: list[int], count: int, seed: int) -> None:
    array = np.array(labels, np.int64)
    folds = fold_of(array, None, count, seed)
    for members in (np.ones(len(array), bool), *(array == label for label in range(5))):
        sizes = np.bincount(folds[members], minlength=count)
        assert sizes.max() - sizes.min() <= 1
    assert np.array_equal(folds, fold_of(array, None, count, seed))


def test_every_image_is_held_out_once(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 7, "b": 5})
    held = []
    for fold in range(1, 4):
        dataset = open_data(path, folds=3, fold=fold, seed=5)
        train, val = (set(map(str, dataset.splits[name].images.files)) for name in ("train", "val"))
        assert not train & val
        assert len(train | val) == 12
        assert any(f"fold {fold} of 3 is held out: 4 of the 12" in note for note in dataset.notes)
        again = reopen(dataset.describe(full=True))
        assert again.splits["val"].images.files == dataset.splits["val"].images.files
        held += sorted(val)
    assert len(held) == len(set(held)) == 12


def test_another_seed_draws_other_folds() -> None:
    labels = np.repeat([0, 1], 30)
    assert len({tuple(fold_of(labels, None, 5, seed).tolist()) for seed in range(4)}) == 4


def test_what_folds_cannot_do_is_refused(make_folder: MakeFolder) -> None:
    labels, groups = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3])
    check_folds(labels, None, 5, ("a", "b"))
    with pytest.raises(InputError, match="one group of b"):
        check_folds(labels, groups, 2, ("a", "b"))
    with pytest.raises(InputError, match="Use folds=5"):
        check_folds(labels, None, 6, ("a", "b"))
    path = make_folder("parts/train", {"a": 4, "b": 4}).parent
    make_folder("parts/val", {"a": 2, "b": 2})
    with pytest.raises(InputError, match="which has a validation part"):
        open_data(path, folds=2, fold=1)


@pytest.mark.parametrize(
    "fields",
    [{"folds": 1}, {"fold": 1}, {"folds": 3, "fold": 4}, {"folds": 3, "validate_on": "test", "val_fraction": 0}],
)
def test_a_recipe_names_folds_that_there_are(fields: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Recipe(**fields)


def test_holdouts_are_alike_where_they_hold_out_the_same() -> None:
    assert Holdout(0.1, 0, 5, 2).is_like(Holdout(0.3, 0, 5, 2))
    assert not Holdout(0.1, 0, 5, 2).is_like(Holdout(0.1, 0, 5, 3))
    assert not Holdout(0.1, 0).is_like(Holdout(0.2, 0))
    assert str(Holdout(0.1, 3)) == "seed 3 and share 0.1"
    assert str(Holdout(0.1, 3, 5, 2)) == "seed 3 and fold 2 of 5"
