"""Every corruption equals its published definition, computed image by image by other means."""

from __future__ import annotations

import numpy as np
import pytest

from data.corruptions.definitions import Tools, defined
from residua._base.errors import InputError
from residua.data.corruptions.corrupt import corrupt
from residua.data.corruptions.draws import Draws
from residua.data.corruptions.names import (
    CORRUPTIONS,
    SEVERITIES,
    checked_names,
    checked_severities,
    constants,
    published_side,
)

SIDE = 40
RANDOM = np.random.default_rng(5)
SMOOTH = np.kron(RANDOM.integers(0, 256, (2, 3, 8, 8)), np.ones((5, 5))).astype(np.uint8)
IMAGES = np.where(RANDOM.random((2, 3, SIDE, SIDE)) < 0.2, RANDOM.integers(0, 256, (2, 3, SIDE, SIDE)), SMOOTH)
IMAGES = IMAGES.astype(np.uint8)


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "frost"])
def test_a_corruption_is_the_published_one(name: str) -> None:
    for severity in (1, 3, 5):
        got = corrupt(IMAGES, name, severity, [7, 9]).transpose(0, 2, 3, 1)
        constant = constants(name, severity, (SIDE, SIDE))
        for image, index, own in zip(IMAGES.transpose(0, 2, 3, 1), (7, 9), got, strict=True):
            image = np.ascontiguousarray(image)
            wanted = defined(name, image, constant, Draws(name, severity, [index], 0), Tools())
            apart = np.abs(own.astype(int) - wanted.astype(np.uint8).astype(int))
            # A value that lies on a level is rounded down from either side of it.
            assert apart.max() <= 1, severity
            assert (apart > 0).mean() < 0.1, severity


@pytest.mark.parametrize("name", ["glass_blur", "motion_blur", "snow", "elastic_transform", "defocus_blur"])
def test_the_constants_of_224_hold_too(name: str) -> None:
    side = 96
    image = np.kron(RANDOM.integers(0, 256, (1, 3, 12, 12)), np.ones((8, 8))).astype(np.uint8)
    own = corrupt(image, name, 4, [3])[0].transpose(1, 2, 0)
    pixels = np.ascontiguousarray(image[0].transpose(1, 2, 0))
    wanted = defined(name, pixels, constants(name, 4, (side, side)), Draws(name, 4, [3], 0), Tools())
    assert published_side((side, side)) == 224
    assert np.abs(own.astype(int) - wanted.astype(np.uint8).astype(int)).max() <= 1


def test_an_image_depends_on_its_index_alone() -> None:
    for name in CORRUPTIONS:
        together = corrupt(IMAGES, name, 2, [4, 11], seed=3)
        assert np.array_equal(together[1], corrupt(IMAGES[1:], name, 2, [11], seed=3)[0])
        assert together.dtype == np.uint8
        assert together.shape == IMAGES.shape
    noisy = [corrupt(IMAGES[:1], "frost", 2, [index], seed=seed) for index, seed in ((4, 3), (5, 3), (4, 4))]
    assert not np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])


def test_severity_takes_an_image_further_away() -> None:
    for name in CORRUPTIONS:
        away = [np.abs(corrupt(IMAGES, name, level, [1, 2]).astype(int) - IMAGES).mean() for level in SEVERITIES]
        assert away[0] > 0, name
        # The elastic transform moves pixels further at its first levels, and less smoothly at its last.
        assert away[0] < away[4] or name == "elastic_transform", name


def test_oblong_images_and_both_ends_of_the_sides() -> None:
    oblong = IMAGES[:, :, :32, :]
    for name in CORRUPTIONS:
        assert corrupt(oblong, name, 5, [0, 1]).shape == oblong.shape
    for side in (31, 513):
        with pytest.raises(InputError, match="32 to 512"):
            corrupt(np.zeros((1, 3, side, side), np.uint8), "fog", 1, [0])


def test_black_and_white_stay_within_range() -> None:
    for level in (0, 255):
        image = np.full((1, 3, 32, 32), level, np.uint8)
        for name in CORRUPTIONS:
            out = corrupt(image, name, 5, [0])
            assert np.isfinite(out).all(), name
    # A black pixel has no hue: it becomes grey by the constant, rounded down.
    assert set(np.unique(corrupt(np.zeros((1, 3, 32, 32), np.uint8), "brightness", 5, [0]))) == {76}


def test_names_and_severities() -> None:
    assert checked_names([]) == CORRUPTIONS
    assert checked_names(["Fog", "gaussian-noise"]) == ("gaussian_noise", "fog")
    assert checked_severities([5, 1, 5]) == (1, 5)
    assert checked_severities([]) == SEVERITIES
    for word, near in (("glas_blur", "glass_blur"), ("jpg", "jpeg_compression"), ("elastic", "elastic_transform")):
        with pytest.raises(InputError, match=near):
            checked_names([word])
    with pytest.raises(InputError, match="severity=6"):
        checked_severities([6])
