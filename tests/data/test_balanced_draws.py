"""Epochs that visit every class equally often, as a pure function of seed, epoch and position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from residua.data.loader import Loader
from residua.data.open import open_dataset
from residua.data.random import order
from residua.data.splitting import balanced_draws, unevenness
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import default_preprocess

LABELS = np.repeat([0, 1, 2], [100, 10, 3])[np.random.default_rng(0).permutation(113)]


def test_every_class_is_visited_equally_often() -> None:
    for epoch in range(4):
        positions, _ = balanced_draws(LABELS, seed=1, epoch=epoch)
        assert len(positions) == 113
        visits = np.bincount(LABELS[positions])
        assert visits.sum() == 113
        assert visits.max() - visits.min() <= 1


def test_no_image_comes_again_before_its_class_was_gone_through() -> None:
    drawn = [balanced_draws(LABELS, seed=1, epoch=epoch)[0] for epoch in range(3)]
    # 37 or 38 of the 100 images of the large class per epoch: all different in the first two.
    large = np.concatenate([each[LABELS[each] == 0] for each in drawn[:2]])
    assert len(set(large.tolist())) == len(large)
    counts = np.bincount(drawn[0], minlength=113)
    for label, size in ((1, 10), (2, 3)):
        visits = counts[label == LABELS]
        assert visits.sum() in (37, 38)
        assert visits.min() >= 37 // size - 1
        assert visits.max() - visits.min() <= 1


def test_draws_are_a_pure_function_and_passes_tell_visits_apart() -> None:
    first, again = balanced_draws(LABELS, 5, 2), balanced_draws(LABELS, 5, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], balanced_draws(LABELS, 6, 2)[0])
    assert not np.array_equal(first[0], balanced_draws(LABELS, 5, 3)[0])
    assert len({(int(a), int(b)) for a, b in zip(*first, strict=True)}) == 113


@pytest.mark.parametrize("crop", ["pad", "random_resized"])
def test_a_balanced_loader_crops_each_visit_differently_and_begins_anywhere(crop: str) -> None:
    digits = open_dataset("digits").splits["train"]
    chosen = np.concatenate([np.flatnonzero(digits.labels == 0)[:60], np.flatnonzero(digits.labels == 1)[:4]])
    split = digits.subset(chosen)
    loader = Loader(
        split,
        default_preprocess(16),
        batch_size=8,
        num_classes=10,
        train=True,
        augment=replace(AugmentSpec(crop=crop, pad=2), flip=False),
        seed=3,
        workers=1,
        balanced=True,
    )
    batches = list(loader.epoch(0))
    labels = torch.cat([batch.labels for batch in batches])
    assert torch.bincount(labels, minlength=10)[:2].tolist() == [32, 32]
    positions = torch.cat([batch.indices for batch in batches])
    assert positions.max() < len(split)
    assert torch.equal(torch.from_numpy(split.labels)[positions], labels)
    images = torch.cat([batch.images for batch in batches])
    rare = images[positions == 61]
    assert len(rare) >= 7
    assert len(torch.unique(rare.flatten(1), dim=0)) > 3
    for later, batch in zip(loader.epoch(0, 3), batches[3:], strict=True):
        assert torch.equal(later.images, batch.images)
        assert torch.equal(later.indices, batch.indices)
    assert loader.class_counts.tolist() == [60, 4, *[0] * 8]


def test_unevenness() -> None:
    assert unevenness([40, 8, 0]) == 5
    assert unevenness([]) == unevenness([0]) == 1


def test_an_order_without_balance_stays_as_it_was() -> None:
    """The first batch of digits, as it was before there was a sampler: runs of old recipes repeat."""
    digits = open_dataset("digits").splits["train"]
    loader = Loader(digits, default_preprocess(16), batch_size=8, num_classes=10, train=True, workers=1)
    assert next(iter(loader.epoch(1))).indices.tolist() == order(0, 1, len(digits))[:8].tolist()
