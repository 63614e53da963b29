"""Augmentation: each effect against its definition, and independence from the batch."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from residua._base.errors import InputError
from residua.data.augment import Augment
from residua.data.preprocess.random_crop import box_uniforms, random_boxes
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import default_preprocess

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SIDE, CLASSES, COUNT = 16, 5, 64


@pytest.fixture
def images() -> torch.Tensor:
    """Pixels from 1 to 255, so that a zero is always padding."""
    drawn = np.random.default_rng(0).integers(1, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    return torch.from_numpy(drawn).permute(0, 3, 1, 2)


LABELS = torch.arange(COUNT) % CLASSES
INDICES = np.arange(COUNT)


def run(spec: AugmentSpec, images: torch.Tensor, epoch: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return Augment(spec, CLASSES, default_preprocess(SIDE))(images, LABELS, INDICES, 0, epoch)


def test_nothing_by_default(images: torch.Tensor) -> None:
    out, labels = run(AugmentSpec(), images)
    assert torch.equal(out, images)
    assert torch.equal(labels, LABELS)


def test_flip(images: torch.Tensor) -> None:
    out, _ = run(AugmentSpec(flip=True), images)
    mirrored = [torch.equal(got, given.flip(2)) for got, given in zip(out, images, strict=True)]
    same = [torch.equal(got, given) for got, given in zip(out, images, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 16 <= sum(mirrored) <= 48


def test_pad_and_crop_takes_every_place(images: torch.Tensor) -> None:
    pad, places = 2, set()
    spec = AugmentSpec(crop="pad", pad=pad)
    padded = torch.nn.functional.pad(images, (pad,) * 4)
    for epoch in range(6):
        for got, whole in zip(run(spec, images, epoch)[0], padded, strict=True):
            found = [
                (y, x)
                for y in range(2 * pad + 1)
                for x in range(2 * pad + 1)
                if torch.equal(got, whole[:, y : y + SIDE, x : x + SIDE])
            ]
            assert len(found) == 1
            places.update(found)
    assert len(places) == (2 * pad + 1) ** 2


def test_shift_repeats_the_edge(images: torch.Tensor) -> None:
    reach = 2
    out, _ = run(AugmentSpec(shift=reach / SIDE), images)
    wide = torch.nn.functional.pad(images.float(), (reach,) * 4, mode="replicate").to(torch.uint8)
    places = set()
    for got, whole in zip(out, wide, strict=True):
        found = [
            (y, x)
            for y in range(2 * reach + 1)
            for x in range(2 * reach + 1)
            if torch.equal(got, whole[:, y : y + SIDE, x : x + SIDE])
        ]
        assert len(found) == 1
        places.update(found)
    assert len(places) > 15


def test_cutout_fills_one_square_with_the_mean(images: torch.Tensor) -> None:
    out, _ = run(AugmentSpec(cutout=6), images)
    mean = torch.tensor([round(255 * value) for value in default_preprocess(SIDE).mean]).view(3, 1, 1)
    sizes = set()
    for got, given in zip(out, images, strict=True):
        cut = (got != given).any(0)
        assert torch.equal(got[:, cut], mean.to(torch.uint8).expand(3, SIDE, SIDE)[:, cut])
        rows, columns = torch.nonzero(cut.any(1)).flatten(), torch.nonzero(cut.any(0)).flatten()
        tall, wide = int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
        assert 3 <= tall <= 6
        assert 3 <= wide <= 6
        sizes.add((tall, wide))
    assert (6, 6) in sizes


def test_colour_jitter_keeps_its_laws(images: torch.Tensor) -> None:
    out, _ = run(AugmentSpec(color_jitter=0.4), images)
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 255
    assert (out - images.float()).abs().mean((1, 2, 3)).min() > 0.1
    grey = images[:, :1].expand(-1, 3, -1, -1)
    channels = run(AugmentSpec(color_jitter=0.4), grey)[0]
    # A grey image has no saturation to change: it stays grey.
    assert (channels[:, 0] - channels[:, 2]).abs().max() < 1e-3
    # Each factor is undone by nothing: black stays black under brightness, and contrast moves it to the mean.
    black = torch.zeros_like(images)
    assert run(AugmentSpec(color_jitter=1.0), black)[0].abs().max() == 0


def test_mixup_mixes_images_and_labels_alike(images: torch.Tensor) -> None:
    out, soft = run(AugmentSpec(mixup=0.4), images)
    torch.testing.assert_close(soft.sum(1), torch.ones(COUNT))
    partners = images.flip(0)
    weights = []
    for place in range(COUNT):
        own, other = images[place].float(), partners[place].float()
        weight = ((out[place] - other) * (own - other)).sum() / ((own - other) ** 2).sum()
        torch.testing.assert_close(out[place], weight * own + (1 - weight) * other, rtol=0, atol=1e-2)
        label, partner = int(LABELS[place]), int(LABELS[COUNT - 1 - place])
        expected = torch.zeros(CLASSES)
        expected[label] += weight
        expected[partner] += 1 - weight
        torch.testing.assert_close(soft[place], expected, rtol=0, atol=1e-3)
        weights.append(float(weight))
    assert min(weights) < 0.2
    assert max(weights) > 0.8
    assert abs(float(np.mean(weights)) - 0.5) < 0.2


def test_cutmix_label_is_the_area(images: torch.Tensor) -> None:
    spec = AugmentSpec(cutmix=1.0)
    out, soft = run(spec, images)
    partners = images.flip(0)
    for place in range(COUNT):
        same = (out[place] == images[place]).all(0)
        other = (out[place] == partners[place]).all(0)
        assert (same | other).all()
        if LABELS[place] != LABELS[COUNT - 1 - place]:
            assert float(soft[place, LABELS[place]]) == pytest.approx(float(same.float().mean()), abs=0.02)
    torch.testing.assert_close(soft.sum(1), torch.ones(COUNT))


FULL = AugmentSpec(crop="pad", pad=3, shift=0.1, flip=True, cutout=4, color_jitter=0.3)


@pytest.mark.parametrize("spec", [FULL, AugmentSpec(crop="random_resized", flip=True)])
def test_an_image_does_not_depend_on_its_batch(images: torch.Tensor, spec: AugmentSpec) -> None:
    augment = Augment(spec, CLASSES, default_preprocess(SIDE))
    whole, _ = augment(images, LABELS, INDICES, 3, 5)
    chosen = np.array([40, 2, 63, 7])
    few, _ = augment(images[chosen], LABELS[chosen], INDICES[chosen], 3, 5)
    torch.testing.assert_close(few.float(), whole[chosen].float(), rtol=0, atol=1e-3)
    again, _ = augment(images, LABELS, INDICES, 3, 6)
    assert (again != whole).flatten(1).any(1).float().mean() > 0.9


def test_layout_does_not_matter(images: torch.Tensor) -> None:
    assert torch.equal(run(FULL, images)[0], run(FULL, images.contiguous())[0])


def test_switching_an_effect_on_leaves_the_others(images: torch.Tensor) -> None:
    flipped = run(AugmentSpec(flip=True), images)[0]
    with_cutout = run(AugmentSpec(flip=True, cutout=2), images)[0]
    assert ((flipped != with_cutout).any(1).sum((1, 2)) <= 4).all()


@pytest.mark.parametrize("size", [(333, 500), (500, 333), (224, 224), (30, 900), (1, 1), (2000, 10)])
def test_random_boxes_obey_their_limits(size: tuple[int, int]) -> None:
    spec = AugmentSpec(crop="random_resized", scale=(0.25, 1.0))
    boxes = random_boxes(box_uniforms(0, 0, np.arange(2000)), *size, spec)
    top, left, tall, wide = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (tall >= 1).all()
    assert (wide >= 1).all()
    assert (top + tall <= size[0]).all()
    assert (left + wide <= size[1]).all()
    if max(size) < 2 * min(size) and min(size) > 100:
        area = tall * wide / (size[0] * size[1])
        assert 0.24 < area.min() < 0.3
        image = torch.empty(3, *size)
        theirs = [v2.RandomResizedCrop(1, spec.scale, spec.ratio).make_params([image]) for _ in range(2000)]
        areas = np.array([box["height"] * box["width"] for box in theirs]) / (size[0] * size[1])
        assert np.abs(np.quantile(area, QUANTILES) - np.quantile(areas, QUANTILES)).max() < 0.05
        aspect = wide / tall
        assert aspect.min() > 0.74
        assert aspect.max() < 1.35


def test_a_resized_crop_of_everything_is_the_image(images: torch.Tensor) -> None:
    spec = AugmentSpec(crop="random_resized", scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert torch.equal(run(spec, images)[0], images)


def test_a_resized_crop_on_the_device_is_a_crop() -> None:
    """A ramp stays a ramp: its values tell where each pixel was taken from."""
    ramp = torch.arange(SIDE, dtype=torch.uint8).mul(10).view(1, 1, 1, SIDE).expand(COUNT, 3, SIDE, SIDE)
    spec = AugmentSpec(crop="random_resized", scale=(0.3, 0.8))
    out = run(spec, ramp)[0].float()
    boxes = random_boxes(box_uniforms(0, 0, INDICES), SIDE, SIDE, spec)
    for got, (_, left, _, wide) in zip(out, boxes, strict=True):
        centres = left + (torch.arange(SIDE) + 0.5) * wide / SIDE - 0.5
        expected = (centres * 10).clamp(0, 10 * (SIDE - 1))
        assert (got[0, 0] - expected).abs().max() <= 0.51
        assert torch.equal(got[0, 0], got[2, -1])


def test_every_field_of_the_spec_is_executed(images: torch.Tensor) -> None:
    """A field that is added to the spec and forgotten here would do nothing, silently."""
    values = {"crop": "pad", "shift": 0.2, "flip": True, "cutout": 5, "color_jitter": 0.5, "mixup": 1.0, "cutmix": 1.0}
    values |= {"height_shift": 0.2, "width_shift": 0.2, "rotation": 30.0, "shear": 20.0, "zoom": (0.5, 2.0)}
    values |= {"channel_shift": 50.0, "vertical_flip": True, "brightness": (0.5, 1.5)}
    values |= {"randaugment": 2, "trivialaugment": True, "augmix": 3}
    parameters = {"alternate_flip", "pad", "scale", "ratio", "subpixel", "fill", "fill_value", "randaugment_magnitude"}
    assert {field.name for field in dataclasses.fields(AugmentSpec)} == set(values) | parameters
    for name, value in values.items():
        assert not torch.equal(run(AugmentSpec(**{name: value}), images)[0].float(), images.float()), name


def test_an_alternating_flip_turns_every_image_round_in_every_epoch(images: torch.Tensor) -> None:
    spec = AugmentSpec(flip=True, alternate_flip=True)
    augment = Augment(spec, CLASSES, default_preprocess(SIDE))
    labels, indices = torch.zeros(len(images), dtype=torch.int64), np.arange(len(images))
    shown = [augment(images, labels, indices, 3, epoch)[0] for epoch in range(4)]
    plain = Augment(AugmentSpec(flip=True), CLASSES, default_preprocess(SIDE))
    assert torch.equal(shown[0], plain(images, labels, indices, 3, 0)[0])
    assert torch.equal(shown[1], shown[0].flip(3))
    assert torch.equal(shown[2], shown[0])
    assert torch.equal(shown[3], shown[1])
    with pytest.raises(InputError, match="alternate_flip=True with flip=False"):
        AugmentSpec(alternate_flip=True)


def test_no_image_is_handled_alone() -> None:
    """50,000 images of 32 pixels may cost 1.5 s; a loop over images in Python would take several times that."""
    images = torch.zeros(128, 32, 32, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    labels, indices = torch.zeros(128, dtype=torch.int64), np.arange(128)
    augment = Augment(AugmentSpec(crop="pad", flip=True, cutout=8), CLASSES, default_preprocess(32))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = 60.0
        for _ in range(5):
            start = time.thread_time()
            for epoch in range(20):
                augment(images, labels, indices, 0, epoch)
            best = min(best, time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert best / (20 * 128) * 50_000 < 1.5
