"""RandAugment and TrivialAugment equal torchvision's on Pillow images; AugMix the published rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, RandAugment, TrivialAugmentWide
from torchvision.transforms.autoaugment import _apply_op

from residua._base.errors import InputError
from residua.data.augment import Augment
from residua.data.policies.operations import OPERATIONS
from residua.data.policies.policies import (
    COLUMNS,
    apply_policy,
    augmix_size,
    randaugment_space,
    trivialaugment_space,
)
from residua.data.random import uniforms
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import PreprocessSpec

SIDE = 32
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8)
PIXELS[:3] = np.kron(RANDOM.integers(0, 256, (3, 8, 8, 3)), np.ones((1, 4, 4, 1))).astype(np.uint8)
THEIRS = {name.lower().replace("_", ""): name for name in OPERATIONS}


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_the_spaces_and_operations_are_torchvisions(policy: str) -> None:
    if policy == "randaugment":
        ours, theirs = randaugment_space(SIDE, SIDE), RandAugment()._augmentation_space(31, (SIDE, SIDE))
    else:
        ours, theirs = trivialaugment_space(), TrivialAugmentWide()._augmentation_space(31)
    assert [THEIRS[name.lower()] for name in theirs] == list(ours)
    image = Image.fromarray(PIXELS[0])
    for their_name, (magnitudes, signed) in theirs.items():
        name = THEIRS[their_name.lower()]
        for step in (0, 9, 13, 30) if magnitudes.ndim else (0,):
            size = float(magnitudes[step]) if magnitudes.ndim else 0.0
            assert ours[name][step] == pytest.approx(size, abs=2e-5), (name, step)
            for sign in (1, -1) if signed else (1,):
                wanted = _apply_op(image, their_name, sign * size, InterpolationMode.NEAREST, None)
                got = OPERATIONS[name](image, sign * ours[name][step], Image.Resampling.NEAREST)
                assert np.array_equal(np.asarray(got), np.asarray(wanted)), (name, step, sign)


def test_randaugment_follows_its_numbers() -> None:
    rows = uniforms(1, 2, np.arange(6), COLUMNS)
    spec = AugmentSpec(randaugment=2, randaugment_magnitude=12)
    names = list(randaugment_space(SIDE, SIDE))
    changed = apply_policy(PIXELS, spec, rows)
    for pixels, row, got in zip(PIXELS, rows, changed, strict=True):
        image: Any = Image.fromarray(pixels)
        for step in range(2):
            name = names[int(row[2 * step] * 14)]
            theirs, signed = dict(
                zip(names, RandAugment()._augmentation_space(31, (SIDE, SIDE)).values(), strict=True)
            )[name]
            size = float(theirs[12]) if theirs.ndim else 0.0
            size = -size if signed and row[2 * step + 1] < 0.5 else size
            label = next(
                key for key in RandAugment()._augmentation_space(31, (SIDE, SIDE)) if THEIRS[key.lower()] == name
            )
            image = _apply_op(image, label, size, InterpolationMode.NEAREST, None)
        assert np.array_equal(got, np.asarray(image))


def test_augmix_is_a_mixture_by_the_published_rules() -> None:
    rows = uniforms(3, 0, np.arange(6), COLUMNS)
    mixed = apply_policy(PIXELS, AugmentSpec(augmix=3), rows)
    assert mixed.dtype == np.float32
    assert mixed.min() >= 0
    assert mixed.max() <= 255
    # With a share of 0 the image itself is left.
    still = rows.copy()
    still[:, 0] = 0
    assert np.array_equal(apply_policy(PIXELS, AugmentSpec(augmix=3), still), PIXELS.astype(np.float32))
    # One chain of one operation: a share between the image and that operation on it.
    row = rows[:1].copy()
    row[0, :7] = (0.25, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0)
    row[0, 7:10] = (3.5 / 9, 0.5, 0.9)  # rotate, level 0.1 + 2.9 / 2, to the left
    turned = Image.fromarray(PIXELS[0]).rotate(int(30 * 1.55 / 10), resample=Image.Resampling.BILINEAR)
    wanted = 0.75 * PIXELS[0] + 0.25 * np.asarray(turned, np.float64)
    np.testing.assert_allclose(apply_policy(PIXELS[:1], AugmentSpec(augmix=3), row)[0], wanted, atol=1e-3)
    for level in (0.1, 2.9, 9.99):
        assert augmix_size("posterize", level, SIDE) == 4 - int(level * 4 / 10)
        assert augmix_size("solarize", level, SIDE) == 256 - int(level * 256 / 10)
        assert augmix_size("translate_x", level, SIDE) == int(level * (SIDE / 3) / 10)
        assert math.isclose(augmix_size("shear_y", level, SIDE), level * 0.3 / 10)


@pytest.mark.parametrize("fields", [{"randaugment": 2}, {"trivialaugment": True}, {"augmix": 3}])
def test_an_image_does_not_depend_on_its_batch(fields: dict[str, Any]) -> None:
    images = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    labels = torch.arange(6)
    augment = Augment(AugmentSpec(crop="pad", flip=True, **fields), 6, PreprocessSpec(SIDE, SIDE))
    whole, _ = augment(images, labels, np.arange(6), 4, 1)
    few, _ = augment(images[[4, 1]], labels[[4, 1]], np.array([4, 1]), 4, 1)
    assert torch.equal(few, whole[[4, 1]])
    assert not torch.equal(whole, augment(images, labels, np.arange(6), 4, 2)[0])
    # What is switched on later leaves the draws of the others.
    plain = Augment(AugmentSpec(crop="pad", flip=True), 6, PreprocessSpec(SIDE, SIDE))(
        images, labels, np.arange(6), 4, 1
    )[0]
    same = [
        torch.equal(one.to(torch.float32), other.to(torch.float32)) for one, other in zip(plain, whole, strict=True)
    ]
    assert same.count(False) >= 3


def test_policies_after_a_warp_and_one_at_a_time() -> None:
    images = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    spec = AugmentSpec(rotation=20.0, trivialaugment=True, mixup=0.2)
    mixed, soft = Augment(spec, 6, PreprocessSpec(SIDE, SIDE))(images, torch.arange(6), np.arange(6), 0, 0)
    assert mixed.shape == images.shape
    assert soft.sum(1).tolist() == pytest.approx([1.0] * 6)
    with pytest.raises(InputError, match="one of them"):
        AugmentSpec(trivialaugment=True, augmix=3)
    with pytest.raises(InputError, match="randaugment_magnitude=5 without randaugment"):
        AugmentSpec(randaugment_magnitude=5)
