"""Embedded data, stratified splits, and the laws of a split."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from residua._base.errors import InputError
from residua.data.dataset import Split
from residua.data.image_source import ArrayImages
from residua.data.open import open_dataset, reopen
from residua.data.splitting import stratify


def test_digits_are_scikit_learns() -> None:
    dataset = open_dataset("digits")
    theirs = load_digits()
    rows = {image.tobytes() for image in np.round(theirs.images * 255 / 16).astype(np.uint8)}
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    assert sum(sizes.values()) == len(theirs.images) == 1797
    assert list(sizes) == ["train", "val", "test"]
    assert dataset.held_out == "test"
    for split in dataset.splits.values():
        assert split.images.pixels.shape[1:] == (8, 8, 3)
        assert split.images.pixels.dtype == np.uint8
        assert (split.images.pixels[..., 0] == split.images.pixels[..., 2]).all()
        assert {np.ascontiguousarray(image[..., 0]).tobytes() for image in split.images.pixels} <= rows
    assert max(split.images.pixels.max() for split in dataset.splits.values()) == 255
    # Classes, labels and pixels in scikit-learn's order: a run of an older version finds its data again.
    assert dataset.hash == "810acd894dd7734167e4d513c96dd82bbcdb7a782a0d48bb37237ebae8edc68a"


def test_the_test_part_of_digits_is_fixed() -> None:
    parts = [open_dataset("digits", seed=seed, val_fraction=share) for seed, share in ((0, 0.1), (5, 0.3), (5, 0))]
    for dataset in parts[1:]:
        assert np.array_equal(dataset.splits["test"].images.pixels, parts[0].splits["test"].images.pixels)
        assert dataset.hash == parts[0].hash
    assert "val" not in parts[2].splits


def test_describe_is_json_and_reopens() -> None:
    dataset = open_dataset("digits", seed=3, val_fraction=0.2)
    described = json.loads(json.dumps(dataset.describe(full=True)))
    assert described["counts"] == {name: len(split) for name, split in dataset.splits.items()}
    assert sum(map(sum, described["class_counts"].values())) == 1797
    again = reopen(described)
    for name, split in dataset.splits.items():
        assert np.array_equal(split.images.pixels, again.splits[name].images.pixels)
        assert np.array_equal(split.labels, again.splits[name].labels)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.floats(0.01, 0.9), st.integers(0, 10))
def test_stratified_parts_sum_to_the_whole(labels: list[int], fraction: float, seed: int) -> None:
    array = np.array(labels)
    kept, held = stratify(array, fraction, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    for label in set(labels):
        total, spared = (array == label).sum(), (array[held] == label).sum()
        assert spared <= total - 1
        assert spared >= min(1, total - 1)
        assert abs(spared - total * fraction) <= 1


def test_a_split_has_one_label_an_image() -> None:
    with pytest.raises(InputError, match="2 labels"):
        Split("train", np.zeros(2, np.int64), ArrayImages(np.zeros((3, 4, 4, 3), np.uint8)))


def test_a_part_is_a_data_set_of_torch() -> None:
    from torch.utils.data import DataLoader

    from residua.data.open import open_dataset

    part = open_dataset("digits", val_fraction=0).splits["test"]
    image, label = part[3]
    assert (image.shape, image.dtype, label) == ((8, 8, 3), np.uint8, int(part.labels[3]))
    assert part[-1][1] == int(part.labels[-1])
    with pytest.raises(IndexError):
        part[len(part)]
    images, labels = [], []
    for pixels, numbers in DataLoader(part, batch_size=100, num_workers=1):  # type: ignore[arg-type]
        images.append(pixels)
        labels += numbers.tolist()
    assert labels == part.labels.tolist()
    assert np.array_equal(np.concatenate(images), part.images.pixels)
