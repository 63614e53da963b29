"""The mean of each pixel: kept in a bundle, stated of a file that is converted, carried on to further training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import residua
from residua._base.errors import InputError
from residua.cli.app import main
from residua.specs.pixel_array import PixelArray
from residua.weights.bundle.config import timm_name
from residua.weights.bundle.read import read_bundle
from residua.weights.convert import convert
from weights.bundles import PREPROCESS, save_tiny, tiny_model, tiny_spec

MEAN = np.random.default_rng(0).uniform(0, 1, (16, 16, 3)).astype(np.float32)
SPEC = replace(PREPROCESS, std=(1.0,) * 3, mean_image=PixelArray(MEAN.shape, MEAN.tobytes()))
IMAGE = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def test_a_bundle_keeps_it_and_its_weights_keep_their_hash(tmp_path: Path) -> None:
    save_tiny(tmp_path / "plain")
    save_tiny(tmp_path / "run", preprocess=SPEC)
    bundle, tensors = read_bundle(tmp_path / "run")
    assert bundle.preprocess == SPEC
    assert bundle.weights_sha256 == read_bundle(tmp_path / "plain")[0].weights_sha256
    assert not any(name.startswith("preprocess") for name in tensors)
    stored = safetensors.torch.load_file(tmp_path / "run" / "model.safetensors")
    np.testing.assert_array_equal(stored["preprocess.mean_image"].numpy(), MEAN)
    config = json.loads((tmp_path / "run" / "config.json").read_text())["pretrained_cfg"]
    assert SPEC.mean_image is not None
    assert config["residua"] == {"mean_image": {"shape": [16, 16, 3], "sha256": SPEC.mean_image.sha256}}
    assert config["mean"] == pytest.approx(MEAN.mean((0, 1)).tolist(), abs=1e-6)


def test_a_run_prepares_images_with_it(tmp_path: Path) -> None:
    save_tiny(tmp_path / "run", preprocess=SPEC)
    run = residua.load(tmp_path / "run")
    expected = (IMAGE / 255 - MEAN).transpose(2, 0, 1)
    np.testing.assert_allclose(run.preprocess(IMAGE).numpy(), expected, atol=1e-6)
    run.save_pretrained(tmp_path / "hub")
    assert residua.load(tmp_path / "hub").preprocess_spec == SPEC
    assert "mean of each pixel" in (tmp_path / "hub" / "README.md").read_text()


def test_timm_is_not_named_for_what_it_cannot_prepare() -> None:
    spec = residua.get_spec("resnet18", input_size=16)
    assert timm_name(spec, PREPROCESS) == "resnet18"
    assert timm_name(spec, SPEC) is None


@pytest.mark.parametrize(("scale", "factor"), [(None, 1.0), (255.0, 255.0)])
def test_a_file_is_converted_with_it(tmp_path: Path, scale: float | None, factor: float) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "w.pth")
    np.save(tmp_path / "mean.npy", MEAN.astype(np.float64) * factor)
    options: dict[str, Any] = {"model": tiny_spec(), "image_size": 16, "std": 1, "scale": scale, "crop": 1.0}
    run = convert(tmp_path / "w.pth", out=tmp_path / "run", mean_image=tmp_path / "mean.npy", **options)
    np.testing.assert_allclose(
        run.preprocess(IMAGE).numpy(), ((IMAGE / 255 - MEAN) * factor).transpose(2, 0, 1), atol=1e-6 * factor
    )


def test_grey_means_hold_for_all_channels(tmp_path: Path) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "w.pth")
    options: dict[str, Any] = {"model": tiny_spec(), "image_size": 16, "std": 1, "crop": 1.0}
    run = convert(tmp_path / "w.pth", out=tmp_path / "run", mean_image=MEAN[:, :, 0], **options)
    np.testing.assert_allclose(run.preprocess(IMAGE)[2].numpy(), IMAGE[:, :, 2] / 255 - MEAN[:, :, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"mean_image": MEAN, "mean": 0.5}, "both mean and mean_image"),
        ({"mean_image": MEAN[:8]}, r"mean_image of shape \(8, 16, 3\) for images of 16 × 16"),
        ({"mean_image": MEAN[0, 0]}, r"\(H, W, 3\)"),
        ({"mean_image": MEAN * np.nan}, "768 of 768 numbers that are NaN or infinite.*Leave such pixels out"),
        ({"mean_image": MEAN * np.nan, "scale": 255}, "finite numbers. Leave such pixels out"),
        ({"mean_image": MEAN[:15] * 255, "scale": 255}, r"\(15, 16, 3\).*on images of 16 × 16\.$"),
        ({"mean_image": np.array(["a"])}, "cannot be read"),
        ({"mean_image": "nowhere.npy"}, "cannot be read: No such file"),
        ({"mean_image": MEAN, "preprocess": PREPROCESS}, "preprocess beside parts of it"),
    ],
)
def test_what_is_no_mean_is_refused(tmp_path: Path, stated: dict[str, Any], words: str) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "w.pth")
    own = {} if "preprocess" in stated else {"image_size": 16}
    with pytest.raises(InputError, match=words):
        convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run", **own, **stated)
    assert not (tmp_path / "run").exists()


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "w.pth")
    np.save(tmp_path / "mean.npy", np.array([{}], object), allow_pickle=True)
    text = tmp_path / "mean.txt"
    text.write_text("0.5 0.5 0.5\n")
    for file, words in ((tmp_path / "mean.npy", "it holds Python objects"), (text, r"it is not a \.npy file")):
        with pytest.raises(InputError, match=f"cannot be read: {words}") as caught:
            convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run", mean_image=file)
        assert "allow_pickle" not in str(caught.value)


def test_the_command_takes_it_and_names_the_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(residua.create_model("cifar_resnet8").state_dict(), tmp_path / "w.pth")
    np.save(tmp_path / "mean.npy", np.full((32, 32, 3), 120.0))
    words = ["convert", str(tmp_path / "w.pth"), "--model", "cifar_resnet8", "--out"]
    assert main([*words, str(tmp_path / "a")]) == 0
    assert "A network that takes levels of 0 to 255 needs --scale 255" in capsys.readouterr().err
    flags = ["--mean-image", str(tmp_path / "mean.npy"), "--scale", "255", "--json"]
    assert main([*words, str(tmp_path / "b"), *flags]) == 0
    shown = capsys.readouterr()
    assert "levels of 0 to 255" not in shown.err
    assert json.loads(shown.out)["preprocess"]["mean_image"]["shape"] == [32, 32, 3]
    levels = residua.load(tmp_path / "b").preprocess(np.full((32, 32, 3), 200, np.uint8))
    torch.testing.assert_close(levels, torch.full((3, 32, 32), 80.0))
    wrong = ["--mean-image", str(tmp_path / "mean.npy")]
    # No image has a mean of 120 times white: this is a mean of levels.
    assert main([*words, str(tmp_path / "d"), *wrong]) == 2
    assert "--scale 255" in capsys.readouterr().err
