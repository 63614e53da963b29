"""The evaluation transform equals torchvision's, and normalisation its formula."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from data.pictures import encoded, picture
from residua.data.decode import decode
from residua.data.preprocess.arrays import normalised_array
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.resize import apply_uint8, ten_crops_uint8
from residua.specs.pixel_array import PixelArray
from residua.specs.preprocess import CropMode, Interpolation, PreprocessSpec, default_preprocess


@pytest.mark.parametrize("size", [(24, 32), (331, 500), (500, 333), (64, 64), (40, 400), (225, 224)])
@pytest.mark.parametrize("spec", [PreprocessSpec(56, 64), PreprocessSpec(32, 32), PreprocessSpec(97, 111, "bicubic")])
def test_resize_and_crop_equal_torchvision(size: tuple[int, int], spec: PreprocessSpec) -> None:
    image = picture(1, *size)
    theirs = v2.Compose(
        [
            v2.Resize(spec.resize, interpolation=v2.InterpolationMode(spec.interpolation)),
            v2.CenterCrop(spec.image_size),
        ]
    )(image)
    ours = apply_uint8(np.asarray(image), spec)
    assert ours.shape == (spec.image_size, spec.image_size, 3)
    difference = np.abs(ours.astype(int) - np.asarray(theirs).astype(int))
    if max(size) <= 8 * min(size):
        assert difference.max() == 0
    # Of panoramas the crop alone is computed, from a box in single precision.
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("size", [(24, 32), (331, 500), (500, 333), (64, 64), (40, 400), (225, 224), (7, 90)])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"])
def test_crop_modes_and_filters_equal_timm(size: tuple[int, int], mode: CropMode, interpolation: Interpolation) -> None:
    timm = pytest.importorskip("timm.data.transforms_factory")
    for side, share in ((56, 0.875), (33, 1.0)):
        mean = (0.1, 0.5, 0.9)
        transform = timm.transforms_imagenet_eval(
            side, share, mode, interpolation=interpolation, mean=mean, normalize=False, use_prefetcher=False
        )
        image = picture(1, *size)
        theirs = transform(image).permute(1, 2, 0).numpy()
        spec = PreprocessSpec(side, math.floor(side / share), interpolation, mean, crop_mode=mode)
        ours = apply_uint8(np.asarray(image), spec)
        if mode != "center" or max(size) <= 8 * min(size):
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("size", [(24, 32), (331, 500), (500, 333), (64, 64), (40, 300), (73, 109), (64, 96), (7, 50)])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_oblong_inputs_equal_timm(size: tuple[int, int], mode: CropMode, interpolation: Interpolation) -> None:
    timm = pytest.importorskip("timm.data.transforms_factory")
    for sides, share in (((64, 96), 0.875), ((97, 33), 1.0), ((50, 51), 0.95)):
        mean = (0.1, 0.5, 0.9)
        transform = timm.transforms_imagenet_eval(
            sides, share, mode, interpolation=interpolation, mean=mean, normalize=False, use_prefetcher=False
        )
        image = picture(1, *size)
        theirs = transform(image).permute(1, 2, 0).numpy()
        resize = (math.floor(sides[0] / share), math.floor(sides[1] / share))
        ours = apply_uint8(np.asarray(image), PreprocessSpec(sides, resize, interpolation, mean, crop_mode=mode))
        assert ours.shape == (*sides, 3)
        if mode != "center" or size != (7, 50) or sides == (64, 96):
            assert np.array_equal(ours, theirs)
        else:
            assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 2, "of panoramas the crop alone is computed"


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_ten_oblong_crops_have_the_corners_and_the_centre(mode: CropMode) -> None:
    image = np.asarray(picture(3, 40, 90))
    spec = PreprocessSpec((32, 48), (40, 60), mean=(0.1, 0.5, 0.9), crop_mode=mode)
    crops = ten_crops_uint8(image, spec)
    assert crops.shape == (6, 32, 48, 3)
    assert np.array_equal(crops[4], apply_uint8(image, spec))
    # Borders leave no room above and below: two corners and two corners are alike.
    assert len(np.unique(crops[:5].reshape(5, -1), axis=0)) == (3 if mode == "border" else 5)


@pytest.mark.parametrize("mode", ["squash", "border"])
def test_ten_crops_of_every_mode_have_the_centre_in_fifth_place(mode: CropMode) -> None:
    image = np.asarray(picture(3, 40, 90))
    spec = PreprocessSpec(32, 40, mean=(0.1, 0.5, 0.9), crop_mode=mode)
    crops = ten_crops_uint8(image, spec)
    assert crops.shape == (6, 32, 32, 3)
    assert np.array_equal(crops[4], apply_uint8(image, spec))
    if mode == "border":
        assert crops[0, 0, 0].tolist() == [26, 128, 230], "filled with the mean"


@pytest.mark.parametrize("mode", ["squash", "border"])
@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1), (1, 1)])
def test_extreme_shapes_stay_in_bounds_in_every_mode(size: tuple[int, int], mode: CropMode) -> None:
    spec = PreprocessSpec(224, 256, crop_mode=mode)
    assert apply_uint8(np.zeros((*size, 3), np.uint8), spec).shape == (224, 224, 3)


def test_an_image_of_the_final_size_is_left_alone() -> None:
    image = np.asarray(picture(2, 32, 32))
    assert apply_uint8(image, default_preprocess(32)) is image


@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1), (1, 1)])
def test_extreme_shapes_stay_in_bounds(size: tuple[int, int]) -> None:
    assert apply_uint8(np.zeros((*size, 3), np.uint8), PreprocessSpec(224, 256)).shape == (224, 224, 3)
    oblong = PreprocessSpec((64, 224), (73, 256))
    assert apply_uint8(np.zeros((*size, 3), np.uint8), oblong).shape == (64, 224, 3)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normalise_is_its_formula(channels_last: bool, dtype: torch.dtype) -> None:
    spec = PreprocessSpec(8, 8)
    images = torch.arange(2 * 3 * 8 * 8, dtype=torch.int32).remainder(256).to(torch.uint8).view(2, 3, 8, 8)
    mean, std = torch.tensor(spec.mean).view(1, 3, 1, 1), torch.tensor(spec.std).view(1, 3, 1, 1)
    expected = (images.double() / 255 - mean) / std
    got = normalise(images, spec, dtype=dtype, channels_last=channels_last)
    assert got.dtype == dtype
    assert got.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    torch.testing.assert_close(got.double(), expected, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def test_normalise_leaves_its_input_alone() -> None:
    images = torch.full((1, 3, 4, 4), 100.0)
    normalise(images, PreprocessSpec(4, 4))
    assert (images == 100).all()


def test_one_image_goes_through_in_training_and_in_prediction() -> None:
    """A picture as grey, palette, 16-bit or RGB file comes to the network as the same numbers."""
    grey = picture(3, 32, 32).convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) << 8)
    forms = [encoded(image, "PNG") for image in (grey, grey.convert("RGB"), grey.convert("P"), wide)]
    results = [apply_uint8(decode(data), default_preprocess(16)) for data in forms]
    for result in results[1:]:
        assert np.array_equal(result, results[0])


@pytest.mark.parametrize(
    "edits", [{}, {"mean_image": True}, {"image_center": True, "image_std": True}, {"whitening": True}]
)
def test_numpy_normalises_as_torch_does(edits: dict[str, Any]) -> None:
    numbers = np.random.default_rng(0)
    shapes = {"mean_image": (12, 8, 3), "whitening": (288, 288)}
    own = {
        name: PixelArray(shapes[name], numbers.normal(size=shapes[name]).astype(np.float32).tobytes())
        if name in shapes
        else value
        for name, value in edits.items()
    }
    spec = PreprocessSpec((12, 8), (12, 8), mean=(0.1, 0.5, 0.9), std=(0.2, 0.3, 0.7), **own)
    images = numbers.integers(0, 256, (5, 12, 8, 3), np.uint8)
    theirs = normalise(torch.from_numpy(images).permute(0, 3, 1, 2), spec, channels_last=True).permute(0, 2, 3, 1)
    ours = normalised_array(images, spec)
    if "whitening" in edits or "image_std" in edits:
        assert np.allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-5)
    else:
        assert np.array_equal(ours, theirs.numpy()), "bit for bit"
