"""The real photos beside the project: found, decoded and transformed as torchvision does."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from residua.data.dataset import Dataset
from residua.data.doctor.check import check
from residua.data.loader import Loader
from residua.data.open import open_dataset
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import default_preprocess


@pytest.fixture(scope="module")
def photos(reference_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ants and bees, unpacked."""
    folder = tmp_path_factory.mktemp("photos")
    with tarfile.open(reference_file("data/hymenoptera.tar")) as stream:
        stream.extractall(folder, filter="data")
    return next(found.parent for found in folder.rglob("train"))


@pytest.fixture(scope="module")
def dataset(photos: Path) -> Dataset:
    return open_dataset(photos)


def test_the_parts_are_as_published(dataset: Dataset) -> None:
    assert dataset.classes == ("ants", "bees")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 245, "val": 153}
    assert dataset.notes == ()


def test_evaluation_batches_equal_torchvision(dataset: Dataset) -> None:
    spec = default_preprocess(224)
    split = dataset.splits["val"].subset(np.arange(0, 153, 8))
    batches = Loader(split, spec, batch_size=8, num_classes=2, train=False).epoch(0)
    ours = torch.cat([batch.images for batch in batches])
    transform = v2.Compose(
        [
            v2.Resize(spec.resize),
            v2.CenterCrop(spec.image_size),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(spec.mean, spec.std),
        ]
    )
    theirs = []
    for file in split.images.files:
        with Image.open(file) as image:
            theirs.append(transform(image.convert("RGB")))
    levels = (ours - torch.stack(theirs)).abs() * 255 * min(spec.std)
    # Pillow and simplejpeg bring their own builds of the JPEG library.
    assert levels.max() <= 3
    assert levels.mean() < 0.05


def test_training_batches_are_views_of_the_photos(dataset: Dataset) -> None:
    split = dataset.splits["train"].subset(np.arange(0, 245, 8))
    training = Loader(
        split,
        default_preprocess(64),
        batch_size=16,
        num_classes=2,
        train=True,
        augment=AugmentSpec(crop="random_resized", flip=True),
    )
    assert training.how == "ragged"
    (batch,) = training.epoch(0)
    assert batch.images.shape == (16, 3, 64, 64)
    assert 0.5 < batch.images.std() < 2


def test_the_doctor_finds_the_gif_and_nothing_worse(photos: Path) -> None:
    report = check(photos)
    assert report.ok
    assert report.images == 398
    (odd,) = [finding for finding in report.findings if finding.kind == "mode"]
    assert "imageNotFound.gif (P)" in odd.files[0]
