"""What a user states of the preprocessing of a file is followed, and what is assumed is reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import residua
from residua._base.errors import InputError
from residua.cli.app import main
from residua.specs.preprocess import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec
from residua.weights.convert import convert
from residua.weights.create import create_model
from residua.weights.preprocess.stated import StatedPreprocess
from weights.bundles import tiny_model, tiny_spec

ASSUMED = PreprocessSpec(32, 36, "bilinear", IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [
        ({}, {}),
        ({"mean": 0.5}, {"mean": (0.5,) * 3}),
        ({"std": (0.1, 0.2, 0.3)}, {"std": (0.1, 0.2, 0.3)}),
        ({"scale": 255}, {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}),
        ({"scale": 255, "mean": [127.5], "std": 51}, {"mean": (0.5,) * 3, "std": (0.2,) * 3}),
        ({"scale": 255, "mean": 0, "std": 255}, {"mean": (0.0,) * 3, "std": (1.0,) * 3}),
        ({"scale": 2, "mean": 1, "std": 1}, {"mean": (0.5,) * 3, "std": (0.5,) * 3}),
        ({"interpolation": "lanczos"}, {"interpolation": "lanczos"}),
        ({"crop": 1.0}, {"resize": 32}),
        ({"image_size": 64, "crop": 0.875}, {"image_size": 64, "resize": 73}),
        ({"image_size": 64}, {"image_size": 64, "resize": 72}),
    ],
)
def test_what_is_stated_is_followed(stated: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = StatedPreprocess(**stated).applied(ASSUMED)
    assert found == replace(ASSUMED, **wanted)


def test_the_crop_of_oblong_images_is_of_both_sides() -> None:
    oblong = replace(ASSUMED, image_size=(64, 96), resize=(64, 96))
    assert StatedPreprocess(crop=0.875).applied(oblong).resize == (73, 109)
    assert StatedPreprocess(image_size=32, crop=1.0).applied(oblong) == replace(ASSUMED, resize=32)


@torch.no_grad()
def test_the_scale_is_what_white_becomes(tmp_path: Path) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "w.pth")
    options: dict[str, Any] = {"model": tiny_spec(), "image_size": 16, "scale": 255, "crop": 1.0}
    run = convert(tmp_path / "w.pth", out=tmp_path / "run", **options)
    image = Image.new("RGB", (16, 16), (255, 128, 0))
    levels = run.preprocess(image)[:, 0, 0]
    torch.testing.assert_close(levels, torch.tensor([255.0, 128.0, 0.0]))


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"mean": (0.5, 0.5)}, "one number, or three"),
        ({"std": 0.0}, "std"),
        ({"std": "grey"}, "numbers"),
        ({"scale": 0}, "scale=0"),
        ({"scale": float("nan")}, "scale=nan"),
        ({"mean": float("nan")}, "mean"),
        ({"mean": (125, 123, 114)}, "mean up to 125, where white is 1"),
        ({"scale": 2, "mean": 2.5}, "mean up to 2.5, where white is 2"),
        ({"mean_image": np.full((32, 32, 3), 128.0)}, "mean_image up to 128, where white is 1"),
        ({"mean_image": np.full((32, 32, 3), 0.47), "scale": 255}, "mean_image up to 0.47, where white is 255.*by 255"),
        ({"mean": (0.49, 0.48, 0.45), "scale": 255}, "mean up to 0.49, where white is 255.*Multiply mean by 255"),
        ({"mean": 300, "scale": 255}, "mean up to 300, where white is 255.*in the units of scale"),
        ({"crop": 1.5}, "crop=1.5"),
        ({"crop": 0}, "crop=0"),
        ({"interpolation": "cubic"}, "Did you mean bicubic"),
        ({"mean": 0.5, "preprocess": ASSUMED}, "preprocess beside parts of it"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, stated: dict[str, Any], words: str) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=words):
        convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run", **stated)
    assert not (tmp_path / "run").exists()


def test_what_is_assumed_is_reported_on_stderr_and_in_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(create_model("cifar_resnet8").state_dict(), tmp_path / "w.pth")
    words = ["convert", str(tmp_path / "w.pth"), "--model", "cifar_resnet8", "--out"]
    assert main([*words, str(tmp_path / "a"), "--json"]) == 0
    shown = capsys.readouterr()
    assert "Preprocessing assumed" in shown.err
    assert "give --mean, --std, --interpolation, --crop, --image-size" in shown.err
    assert any("Preprocessing assumed" in line for line in json.loads(shown.out)["notes"])
    known = ["--mean", "0.5,0.4,0.3", "--std", "0.2", "--interpolation", "bicubic", "--crop", "1", "--image-size", "32"]
    assert main([*words, str(tmp_path / "b"), *known]) == 0
    assert "Preprocessing assumed" not in capsys.readouterr().err
    assert main([*words, str(tmp_path / "d"), "--scale", "255"]) == 0
    line = capsys.readouterr().err
    assert "Assumed of the preprocessing, as Residua trains cifar_resnet8: filter of the resize bilinear" in line
    assert "share of the resized side 1; side 32 × 32" in line
    assert "mean" not in line
    wanted = PreprocessSpec(32, 32, "bicubic", (0.5, 0.4, 0.3), (0.2,) * 3)
    assert residua.load(tmp_path / "b").preprocess_spec == wanted
    assert main([*words, str(tmp_path / "c"), "--mean", "red"]) == 2
    assert "Given: --mean red. Wanted: a number." in capsys.readouterr().err


def _publish(folder: Path, **fields: Any) -> None:
    folder.mkdir(exist_ok=True)
    state = create_model("resnet18", num_classes=2).half().state_dict()
    safetensors.torch.save_file(state, folder / "model.safetensors")
    config = {"architecture": "resnet18", "label_names": ["a", "b"], "pretrained_cfg": fields}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.filterwarnings("ignore:.*input_size declares:UserWarning")
@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"input_size": [3, 64, 64], "crop_pct": 1.0}, PreprocessSpec(64, 64, "bicubic")),
        ({"mean": [0.5], "std": 0.25}, PreprocessSpec(224, 256, "bicubic", (0.5,) * 3, (0.25,) * 3)),
        ({"input_size": [3, 64, 96]}, PreprocessSpec((64, 96), (73, 109), "bicubic")),
        ({"crop_mode": "squash", "interpolation": "lanczos"}, PreprocessSpec(224, 256, "lanczos", crop_mode="squash")),
        ({"crop_mode": "border", "crop_pct": 0.9}, PreprocessSpec(224, 248, "bicubic", crop_mode="border")),
        ({"input_size": [1, 28, 28], "mean": [0.13], "crop_pct": 1}, PreprocessSpec(28, 28, "bicubic", (0.13,) * 3)),
    ],
)
def test_a_folder_in_timms_layout_is_followed(tmp_path: Path, fields: dict[str, Any], wanted: PreprocessSpec) -> None:
    _publish(tmp_path / "hub", **fields)
    assert residua.load(tmp_path / "hub").preprocess_spec == wanted
    run = convert(tmp_path / "hub" / "model.safetensors", model="resnet18", out=tmp_path / "run")
    assert run.preprocess_spec == wanted
    assert not any("assumed" in line for line in run.data["converted"]["notes"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_size", [3, 64]),
        ("input_size", [3, 10**7, 10**7]),
        ("input_size", "large"),
        ("interpolation", "random"),
        ("interpolation", 3),
        ("crop_mode", "letterbox"),
        ("crop_mode", ["center"]),
        ("crop_pct", 1.2),
        ("crop_pct", -1),
        ("crop_pct", 1e-9),
        ("mean", [0.5, 0.5]),
        ("mean", ["a", "b", "c"]),
        ("std", [0.0, 0.1, 0.1]),
        ("std", None),
    ],
)
def test_what_a_folder_declares_and_cannot_be_followed_is_named(tmp_path: Path, field: str, value: Any) -> None:
    _publish(tmp_path / "hub", **{"input_size": [3, 64, 64], field: value})
    if value is None:
        assert residua.load(tmp_path / "hub").preprocess_spec.std == IMAGENET_STD
        return
    for call in (residua.load, lambda folder: create_model("resnet18", num_classes=2, weights=folder)):
        with pytest.raises(InputError, match=f"declares.*{field}"):
            call(tmp_path / "hub")
    with pytest.raises(InputError, match=f"declares.*{field}"):
        convert(tmp_path / "hub" / "model.safetensors", model="resnet18", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
