"""Statistics of the training images against numpy's, and what a preprocessing with numbers for each pixel does."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from residua._base.errors import InputError
from residua.data.dataset import Split
from residua.data.image_source import ArrayImages
from residua.data.preprocess.normalise import normalise
from residua.data.statistics import measured
from residua.specs.pixel_array import PixelArray
from residua.specs.preprocess import PreprocessSpec, describe, resized

SIDE = 6
PIXELS = np.random.default_rng(0).integers(0, 256, (300, SIDE, SIDE, 3), dtype=np.uint8)
SPLIT = Split("train", np.zeros(len(PIXELS), np.int64), ArrayImages(PIXELS))
UNIT = PIXELS / 255
PLAIN = PreprocessSpec(SIDE, SIDE)


def normalised(spec: PreprocessSpec, pixels: np.ndarray = PIXELS) -> np.ndarray:
    return normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), spec).permute(0, 2, 3, 1).numpy()


def test_the_mean_of_each_pixel() -> None:
    spec = measured(SPLIT, PLAIN, "pixel", "none")
    assert spec.mean_image is not None
    np.testing.assert_array_equal(np.asarray(spec.mean_image.view()), UNIT.mean(0).astype(np.float32))
    assert spec.mean == pytest.approx(UNIT.mean((0, 1, 2)), abs=1e-7)
    np.testing.assert_allclose(normalised(spec), UNIT - UNIT.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("center", "std", "wanted"),
    [
        ("none", "channel", UNIT / (UNIT.std((0, 1, 2)) + 1e-6)),
        ("pixel", "channel", (UNIT - UNIT.mean(0)) / ((UNIT - UNIT.mean(0)).std((0, 1, 2)) + 1e-6)),
        ("none", "image", UNIT / (UNIT.std((1, 2, 3), keepdims=True) + 1e-6)),
        ("channel", "customary", (UNIT - UNIT.mean((0, 1, 2))) / np.array(PLAIN.std)),
        ("customary", "none", UNIT - np.array(PLAIN.mean)),
        ("customary", "customary", (UNIT - np.array(PLAIN.mean)) / np.array(PLAIN.std)),
    ],
)
def test_centre_and_deviation(center: Any, std: Any, wanted: np.ndarray) -> None:
    spec = measured(SPLIT, PLAIN, center, std)
    for channels_last in (False, True):
        batch = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
        values = normalise(batch, spec, channels_last=channels_last).permute(0, 2, 3, 1)
        np.testing.assert_allclose(values.numpy(), wanted, atol=1e-5)


def test_what_is_customary_stays() -> None:
    assert measured(SPLIT, PLAIN, "customary", "customary") == PLAIN
    pixel = measured(SPLIT, PLAIN, "pixel", "none")
    assert measured(SPLIT, pixel, "customary", "customary") == pixel
    assert measured(SPLIT, pixel, "none", "none") == replace(PLAIN, mean=(0.0,) * 3, std=(1.0,) * 3)


def test_whitened_images_are_uncorrelated() -> None:
    spec = measured(SPLIT, PLAIN, "channel", "none", zca=True)
    rows = normalised(spec).reshape(len(PIXELS), -1)
    np.testing.assert_allclose(rows.T @ rows / len(rows), np.eye(rows.shape[1]), atol=1e-3)
    assert spec.whitening is not None
    matrix = np.asarray(spec.whitening.view())
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-4)
    with pytest.raises(InputError, match=r"64 × 64 pixels.*36 × 36"):
        measured(SPLIT, PreprocessSpec(64, 64), "channel", "none", zca=True)


def test_images_of_another_size_are_refused() -> None:
    spec = measured(SPLIT, PLAIN, "pixel", "none")
    with pytest.raises(InputError, match=r"7 × 7 pixels.*mean_image"):
        normalised(spec, np.zeros((1, 7, 7, 3), np.uint8))
    with pytest.raises(InputError, match=r"mean_image of shape \(6, 6, 3\) for images of 8 × 8"):
        replace(spec, image_size=8, resize=8)
    assert resized(spec, 12) == replace(PLAIN, image_size=12, resize=12, mean=spec.mean, std=(1.0,) * 3)
    assert resized(spec, SIDE) == spec
    with pytest.raises(InputError, match="whitened images of 6 × 6 pixels"):
        resized(measured(SPLIT, PLAIN, "channel", "none", zca=True), 12)


def test_json_and_back() -> None:
    spec = measured(SPLIT, PLAIN, "pixel", "image", zca=True)
    assert PreprocessSpec.from_json(json.loads(json.dumps(spec.to_json(whole=True)))) == spec
    apart = {name: each.data for name, each in spec.arrays.items()}
    stated = json.loads(json.dumps(spec.to_json()))
    assert len(json.dumps(stated)) < 1000
    assert PreprocessSpec.from_json(stated, apart) == spec
    for damage in ({}, {**apart, "mean_image": apart["mean_image"][:-4] + b"\0\0\0\1"}):
        with pytest.raises(InputError):
            PreprocessSpec.from_json(stated, damage)
    # A header of the first version is what a plain transform still writes.
    assert set(PLAIN.to_json()) == {"image_size", "resize", "interpolation", "mean", "std", "crop_mode"}
    assert "mean of each pixel" in describe(spec)
    assert "whitened" in describe(spec)


def test_a_pixel_array_is_a_value() -> None:
    numbers = np.arange(12, dtype=np.float32)
    one, other = (PixelArray((2, 2, 3), numbers.tobytes()) for _ in range(2))
    assert one == other
    assert len({one, other, copy.deepcopy(one)}) == 1
    assert one != PixelArray((4, 3), numbers.tobytes())
    assert one.channel_means() == (4.5, 5.5, 6.5)
    for shape, data in (((2, 2), numbers.tobytes()), ((1,), b"\0\0\xc0\x7f"), ((0,), b"")):
        with pytest.raises(InputError):
            PixelArray(shape, data)
