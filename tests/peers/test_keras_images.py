"""Every effect and statistic of Keras's ImageDataGenerator, against Keras's own code on the same images."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from residua.data.augment import Augment
from residua.data.dataset import Split
from residua.data.image_source import ArrayImages
from residua.data.preprocess.normalise import normalise
from residua.data.statistics import measured
from residua.data.warp import Moves, coordinates, sample
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import PreprocessSpec

SIDE, COUNT = 12, 24
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
IMAGES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
FILLS = ("nearest", "constant", "reflect", "wrap")
KINDS = ("shift", "rotation", "shear", "zoom", "all")


def _moves(kind: str) -> Moves:
    draw = np.random.default_rng(1)
    drawn = {
        "shift": draw.uniform(-5, 5, (2, COUNT)),
        "rotation": draw.uniform(-3, 3, COUNT),
        "shear": draw.uniform(-1.2, 1.2, COUNT),
        "zoom": draw.uniform(0.3, 2.5, (2, COUNT)),
    }
    still = {"shift": np.zeros((2, COUNT)), "rotation": np.zeros(COUNT), "shear": np.zeros(COUNT)}
    still["zoom"] = np.ones((2, COUNT))
    used = drawn if kind == "all" else still | {kind: drawn[kind]}
    return Moves(*used["shift"], used["rotation"], used["shear"], *used["zoom"])


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("kind", KINDS)
def test_shift_rotation_shear_and_zoom(kind: str, fill: str, keras: ModuleType) -> None:
    transform = keras.src.legacy.preprocessing.image.apply_affine_transform
    moves = _moves(kind)
    rows, columns = coordinates(moves, SIDE, SIDE)
    ours = sample(IMAGES, rows, columns, fill, 77.0).permute(0, 2, 3, 1).numpy()
    for place in range(COUNT):
        # Keras 3 swaps the axes of its matrix, so that its x is a column.
        theirs = transform(
            PIXELS[place].astype(np.float32),
            theta=np.degrees(moves.rotation[place]), tx=moves.columns[place], ty=moves.rows[place],
            shear=np.degrees(moves.shear[place]), zx=moves.column_zoom[place], zy=moves.row_zoom[place],
            row_axis=0, col_axis=1, channel_axis=2, fill_mode=fill, cval=77.0, order=1,
        )  # fmt: skip
        np.testing.assert_allclose(ours[place], theirs, rtol=0, atol=1e-3)


def _augmented(**fields: Any) -> np.ndarray:
    augment = Augment(AugmentSpec(**fields), 2, PreprocessSpec(SIDE, SIDE))
    labels = torch.zeros(COUNT, dtype=torch.int64)
    return augment(IMAGES, labels, np.arange(COUNT), 0, 0)[0].permute(0, 2, 3, 1).float().numpy()


@pytest.mark.parametrize("factor", [0.4, 0.75, 1.3, 2.0])
def test_brightness(factor: float, keras: ModuleType) -> None:
    change = keras.src.legacy.preprocessing.image.apply_brightness_shift
    ours = _augmented(brightness=(factor, factor))
    for place in range(COUNT):
        theirs = change(PIXELS[place].astype(np.float32), factor, False)
        np.testing.assert_array_equal(ours[place], theirs)


def test_channel_shift_and_flips(keras: ModuleType) -> None:
    image = keras.src.legacy.preprocessing.image
    ours = _augmented(channel_shift=60)
    for place in range(COUNT):
        levels = PIXELS[place].astype(np.float32)
        added = np.median(ours[place] - levels)
        np.testing.assert_allclose(ours[place], image.apply_channel_shift(levels, added, 2), rtol=0, atol=1e-4)
    for fields, axis in (({"flip": True}, 1), ({"vertical_flip": True}, 0)):
        ours = _augmented(**fields)
        theirs = [image.flip_axis(each, axis) for each in PIXELS]
        same = [np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True)]
        kept = [np.array_equal(one, other) for one, other in zip(ours, PIXELS, strict=True)]
        assert all(a != b for a, b in zip(same, kept, strict=True))
        assert 4 <= sum(same) <= 20


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"center": "channel", "std": "none"}, {"featurewise_center": True}),
        ({"center": "channel", "std": "channel"}, {"featurewise_center": True, "featurewise_std_normalization": True}),
        ({"center": "image", "std": "none"}, {"samplewise_center": True}),
        ({"center": "image", "std": "image"}, {"samplewise_center": True, "samplewise_std_normalization": True}),
        ({"center": "none", "std": "none"}, {}),
        (
            {"center": "channel", "std": "none", "zca": True, "zca_epsilon": 0.05},
            {"featurewise_center": True, "zca_whitening": True, "zca_epsilon": 0.05},
        ),
        (
            {"center": "channel", "std": "none", "zca": True},
            {"featurewise_center": True, "zca_whitening": True},
        ),
    ],
)
def test_standardisation(ours: dict[str, Any], theirs: dict[str, Any], keras: ModuleType) -> None:
    """Fewer images than numbers where all are whitened: a thin decomposition, as Keras takes it."""
    pixels = np.random.default_rng(2).integers(0, 256, (90, 6, 6, 3), dtype=np.uint8)
    pixels = (pixels * np.array([1.0, 0.5, 0.25])).astype(np.uint8)
    split = Split("train", np.zeros(len(pixels), np.int64), ArrayImages(pixels))
    spec = measured(split, PreprocessSpec(6, 6), **ours)
    generator = keras.src.legacy.preprocessing.image.ImageDataGenerator(rescale=1 / 255, dtype="float64", **theirs)
    generator.fit(pixels.astype(np.float64))
    batch = torch.from_numpy(pixels[:7]).permute(0, 3, 1, 2)
    expected = np.stack([generator.standardize(image.astype(np.float64)) for image in pixels[:7]])
    for channels_last in (False, True):
        values = normalise(batch, spec, channels_last=channels_last).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=2e-3 if ours.get("zca") else 1e-5)
