"""The Keras article's data and regularisation, rows 60 to 73 of the table: what its code does, done here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import residua
from residua.data.augment import Augment
from residua.data.open import open_dataset
from residua.data.preprocess.normalise import normalise
from residua.runtime.device import choose_hardware
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import PreprocessSpec
from residua.training.loop import train
from residua.training.recipe import Recipe
from residua.training.recipe_file import load_recipe, override
from residua.training.step.optim import parameter_groups

SIDE, COUNT = 32, 4000


def _recipe() -> Recipe:
    return load_recipe("keras", images=50_000)


def _augmented(spec: AugmentSpec, images: torch.Tensor) -> torch.Tensor:
    augment = Augment(spec, 10, PreprocessSpec(SIDE, SIDE))
    return augment(images, torch.zeros(len(images), dtype=torch.int64), np.arange(len(images)), 0, 0)[0]


def test_row_60_the_penalty_is_on_the_kernels_of_convolutions_alone() -> None:
    """`l2(1e-4)` adds 1e-4 · Σ w² to the loss, whose gradient is 2e-4 w; the classifier's kernel has none."""
    model = residua.create_model("cifar_resnet20_keras")
    groups = parameter_groups(model, _recipe())
    kernels = [p for p in model.parameters() if p.ndim == 4]
    decaying = [p for group in groups if group["weight_decay"] for p in group["params"]]  # type: ignore[attr-defined]
    assert len(decaying) == len(kernels) == 21
    assert {id(p) for p in decaying} == {id(p) for p in kernels}
    (decay,) = {float(str(group["weight_decay"])) for group in groups} - {0.0}
    kernel = kernels[0].detach().clone().requires_grad_()
    (1e-4 * kernel.square().sum()).backward()  # type: ignore[no-untyped-call]
    assert kernel.grad is not None
    torch.testing.assert_close(kernel.grad, decay * kernel.detach())
    assert model.spec.init == "he_truncated"
    deviation = float(model.state_dict()["layer3.1.conv2.weight"].std())
    assert deviation == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)


def test_the_recipe_divides_levels_by_255() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    spec = PreprocessSpec(16, 16, mean=(0.0,) * 3, std=(1.0,) * 3)
    torch.testing.assert_close(normalise(levels, spec), levels.float() / 255)
    assert _recipe().std == "none"


def test_row_62_the_mean_of_each_pixel_is_subtracted(tmp_path: Path) -> None:
    run = train("digits", "cifar_resnet8_keras", "keras", tmp_path / "run", progress=False, epochs=1, max_steps=1)
    images = open_dataset("digits", val_fraction=0.1).splits["train"].images
    plain = PreprocessSpec(SIDE, SIDE, mean=(0.0,) * 3, std=(1.0,) * 3)
    pixels = np.stack([images.read(place) for place in range(len(images))])
    bare = residua.load(run.folder)
    object.__setattr__(bare.bundle, "preprocess", plain)
    x_train = np.stack([bare.preprocess(image).numpy() for image in pixels])
    x_train_mean = x_train.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(run.preprocess(pixels[5]).numpy(), x_train[5] - x_train_mean, atol=1e-6)
    assert run.preprocess_spec.std == (1.0, 1.0, 1.0)


def test_row_68_shifts_are_continuous_and_repeat_the_edge() -> None:
    """Keras reads between two pixels: rows and columns move by any number from -3.2 to 3.2."""
    spec = _recipe().augment
    assert (spec.shift, spec.subpixel, spec.fill) == (0.1, True, "nearest")
    column = torch.arange(SIDE, dtype=torch.uint8).mul(8)
    ramp = torch.stack([column.expand(SIDE, SIDE), column.view(-1, 1).expand(SIDE, SIDE), torch.zeros(SIDE, SIDE)])
    images = ramp.to(torch.uint8).expand(COUNT, 3, SIDE, SIDE)
    moved = _augmented(AugmentSpec(shift=spec.shift, subpixel=spec.subpixel), images)
    across = (moved[:, 0, 16, 16] - 128) / 8
    down = (moved[:, 1, 16, 16] - 128) / 8
    for shift in (across, down):
        assert shift.abs().max() <= 3.2
        assert shift.std() == pytest.approx(6.4 / 12**0.5, rel=0.03)
        assert (shift - shift.round()).abs().mean() == pytest.approx(0.25, abs=0.02)
    assert abs(float(torch.corrcoef(torch.stack([across, down]))[0, 1])) < 0.05
    wanted = (torch.arange(SIDE) + across[0]).clamp(0, SIDE - 1) * 8
    torch.testing.assert_close(moved[0, 0, 0], wanted, rtol=0, atol=1e-3)


def test_nothing_moves_without_augmentation() -> None:
    recipe = override(_recipe(), shift=0.0, flip=False)
    images = torch.randint(0, 256, (64, 3, SIDE, SIDE), dtype=torch.uint8)
    assert torch.equal(_augmented(recipe.augment, images), images)


def test_row_71_the_other_options_are_there_and_off() -> None:
    """Each is held against Keras's own code in tests/peers/test_keras_images.py."""
    off = AugmentSpec()
    recipe = _recipe()
    for name in ("rotation", "shear", "zoom", "channel_shift", "vertical_flip", "brightness", "fill_value"):
        assert getattr(recipe.augment, name) == getattr(off, name)
    assert (recipe.zca, recipe.zca_epsilon) == (False, 1e-6)
    images = torch.randint(0, 256, (64, 3, SIDE, SIDE), dtype=torch.uint8)
    assert torch.equal(_augmented(off, images), images)
    options = {"rotation": 20.0, "shear": 10.0, "zoom": (0.8, 1.2), "channel_shift": 20.0, "vertical_flip": True}
    for name, value in (options | {"brightness": (0.5, 1.5)}).items():
        assert not torch.equal(_augmented(AugmentSpec(**{name: value}), images).float(), images.float())


def test_row_72_the_test_images_validate_where_that_is_asked_for(tmp_path: Path) -> None:
    fields = {"val_fraction": 0, "validate_on": "test", "epochs": 2, "image_size": 8, "batch_size": 128}
    run = train("digits", "cifar_resnet8_keras", "keras", tmp_path / "run", progress=False, **fields)
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert run.data["counts"] == {"train": 1438, "test": 359}
    assert run.metrics["top1"] == max(line["val_top1"] for line in lines)
    assert run.metrics["split"] == "test"


@pytest.mark.parametrize("name", ["keras", "paper"])
def test_row_73_trains_in_float32(name: str) -> None:
    recipe = load_recipe(name, images=50_000)
    hardware = choose_hardware("cpu", recipe.precision, recipe.channels_last)
    assert recipe.precision == "fp32"
    assert not hardware.bf16
