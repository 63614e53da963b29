"""Weights for grey images serve colour images, by their luma; weights for other numbers of channels are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from residua._base.errors import InputError
from residua.inference.predict import predict
from residua.weights.convert import convert
from residua.weights.create import create_model
from residua.weights.open import load
from weights.bundles import PREPROCESS, save_tiny, tiny_model, tiny_spec


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "colour.png")
    return tmp_path / "colour.png"


@torch.no_grad()
def test_a_grey_network_sees_the_luma_of_a_colour_image(tmp_path: Path, picture: Path) -> None:
    grey = tiny_model(in_channels=1)
    torch.save(grey.state_dict(), tmp_path / "grey.pth")
    run = convert(
        tmp_path / "grey.pth", model=tiny_spec(), out=tmp_path / "run", image_size=16, crop=1, mean=0.25, std=0.5
    )
    assert any("ITU-R BT.601" in line for line in run.data["converted"]["notes"])
    assert run.preprocess_spec.mean == (0.25,) * 3
    image = Image.open(picture)
    shares = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    colours = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
    luma = (colours * shares).sum(0, keepdim=True)
    wanted = grey(((luma - 0.25) / 0.5)[None])
    torch.testing.assert_close(run.model(run.preprocess(picture)[None]), wanted, rtol=1e-4, atol=1e-5)
    # Pillow's grey is that luma, rounded to levels.
    levels = torch.from_numpy(np.asarray(image.convert("L")).copy())[None] / 255
    torch.testing.assert_close(wanted, grey(((levels - 0.25) / 0.5)[None]), rtol=0.05, atol=0.05)
    assert len(predict(run, [picture])) == 1


def test_means_of_three_colours_become_the_mean_of_luma(tmp_path: Path) -> None:
    torch.save(tiny_model(in_channels=1).state_dict(), tmp_path / "grey.pth")
    run = convert(tmp_path / "grey.pth", model=tiny_spec(), out=tmp_path / "run", image_size=16, mean=(0.1, 0.5, 0.9))
    assert run.preprocess_spec.mean == pytest.approx((0.299 * 0.1 + 0.587 * 0.5 + 0.114 * 0.9,) * 3)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_numbers_of_channels_are_refused_and_can_be_fitted(tmp_path: Path, channels: int) -> None:
    torch.save(tiny_model(in_channels=channels).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=rf"for {channels} channels.*in_channels=3, weights=FILE"):
        convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run", image_size=16)
    assert not (tmp_path / "run").exists()
    assert create_model(tiny_spec(), in_channels=3, weights=tmp_path / "w.pth").spec.in_channels == 3
    save_tiny(tmp_path / "own", tiny_model(in_channels=channels))
    with pytest.raises(InputError, match=f"for {channels} channels"):
        load(tmp_path / "own")


@torch.no_grad()
def test_a_run_that_was_kept_grey_loads_for_colour_images(tmp_path: Path, picture: Path) -> None:
    grey = tiny_model(in_channels=1)
    save_tiny(tmp_path / "run", grey, preprocess=replace(PREPROCESS, mean=(0.5,) * 3, std=(0.2,) * 3))
    run = load(tmp_path / "run")
    assert run.spec.in_channels == 3
    levels = torch.from_numpy(np.asarray(Image.open(picture).convert("L")).copy())[None] / 255
    wanted = grey(((levels - 0.5) / 0.2)[None])
    torch.testing.assert_close(run.model(run.preprocess(picture)[None]), wanted, rtol=0.05, atol=0.1)
