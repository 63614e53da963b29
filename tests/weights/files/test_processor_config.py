"""preprocessor_config.json, as Hugging Face's image processors write it: followed, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import residua
from residua._base.errors import InputError
from residua.specs.preprocess import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec
from residua.weights.convert import convert
from residua.weights.create import create_model
from residua.weights.files.processor_config import read_processor

MEAN, STD = list(IMAGENET_MEAN), list(IMAGENET_STD)
# As beside microsoft/resnet-50.
RESNET: dict[str, Any] = {
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "ConvNextFeatureExtractor",
    "image_mean": MEAN,
    "image_std": STD,
    "resample": 3,
    "size": 224,
}
# As transformers 4.26 and later write the same.
NEWER = {**RESNET, "size": {"shortest_edge": 224}, "image_processor_type": "ConvNextImageProcessor"}
NEWER |= {"do_rescale": True, "rescale_factor": 1 / 255}
VIT: dict[str, Any] = {
    "image_processor_type": "ViTImageProcessor",
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "size": {"height": 224, "width": 224},
}
BIT = {**RESNET, "feature_extractor_type": "BitImageProcessor", "do_center_crop": True}
BIT |= {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}


def _write(folder: Path, content: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (RESNET, PreprocessSpec(224, 256, "bicubic")),
        (NEWER, PreprocessSpec(224, 256, "bicubic")),
        ({**NEWER, "crop_pct": 0.95, "resample": 2}, PreprocessSpec(224, 235, "bilinear")),
        ({**NEWER, "size": {"shortest_edge": 384}}, PreprocessSpec(384, 384, "bicubic", crop_mode="squash")),
        (VIT, PreprocessSpec(224, 224, "bilinear", (0.5,) * 3, (0.5,) * 3, "squash")),
        (BIT, PreprocessSpec(224, 256, "bicubic")),
        ({**BIT, "size": {"height": 256, "width": 256}}, PreprocessSpec(224, 256, "bicubic", crop_mode="squash")),
        ({**NEWER, "do_normalize": False}, PreprocessSpec(224, 256, "bicubic", (0.0,) * 3, (1.0,) * 3)),
        (
            {**NEWER, "do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51.0] * 3},
            PreprocessSpec(224, 256, "bicubic", (0.5,) * 3, (0.2,) * 3),
        ),
        (
            {**NEWER, "rescale_factor": 2 / 255, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
            PreprocessSpec(224, 256, "bicubic", (0.5,) * 3, (0.5,) * 3),
        ),
    ],
)
def test_what_is_stated_is_followed(content: dict[str, Any], wanted: PreprocessSpec, tmp_path: Path) -> None:
    assert read_processor(_write(tmp_path, content)) == wanted


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"do_resize": False}, "do_resize"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order"),
        ({"do_pad": True}, "do_pad"),
        ({"resample": 7}, "resample 7"),
        ({"resample": None}, "lacks resample"),
        ({"crop_pct": None}, "lacks crop_pct"),
        ({"crop_pct": 2}, "crop_pct 2"),
        ({"size": None}, "lacks size"),
        ({"size": {"longest_edge": 224}}, "lacks size"),
        ({"size": -3}, "size -3"),
        ({"size": {"shortest_edge": 10**5}}, "size 100000"),
        ({"image_mean": None}, "lacks image_mean"),
        ({"image_std": [0.5]}, "image_std"),
        ({"image_std": [0.0, 0.0, 0.0]}, "std"),
        ({"rescale_factor": 0}, "rescale_factor"),
        ({"image_processor_type": "OtherProcessor", "size": {"shortest_edge": 224}}, "size"),
    ],
    ids=str,
)
def test_what_cannot_be_followed_is_named(change: dict[str, Any], name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        read_processor(_write(tmp_path, {**NEWER, **change}))


@pytest.mark.parametrize("content", [None, [], 3, "text"])
def test_a_file_of_another_kind(content: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"preprocessor_config\.json cannot be read"):
        read_processor(_write(tmp_path, content))


def _published(folder: Path, content: dict[str, Any]) -> residua.Run:
    _write(folder, content)
    torch.manual_seed(0)
    state = create_model("resnet18", num_classes=2).half().state_dict()
    safetensors.torch.save_file(state, folder / "model.safetensors")
    return convert(folder / "model.safetensors", model="resnet18", out=folder.parent / "run")


def test_a_folder_with_a_processor_beside_the_weights(tmp_path: Path) -> None:
    run = _published(tmp_path / "hub", {**NEWER, "crop_pct": 0.8, "image_mean": [0.1, 0.2, 0.3]})
    assert run.preprocess_spec == PreprocessSpec(224, 280, "bicubic", (0.1, 0.2, 0.3), IMAGENET_STD)
    assert not any("assumed" in line for line in run.data["converted"]["notes"])
    (tmp_path / "hub/config.json").write_text(json.dumps({"architecture": "resnet18"}))
    assert residua.load(tmp_path / "hub").preprocess_spec == run.preprocess_spec
    _write(tmp_path / "hub", {**NEWER, "do_pad": True})
    with pytest.raises(InputError, match="do_pad"):
        residua.load(tmp_path / "hub")
    with pytest.raises(InputError, match="do_pad"):
        convert(tmp_path / "hub/model.safetensors", model="resnet18", out=tmp_path / "second")
    assert not (tmp_path / "second").exists()
