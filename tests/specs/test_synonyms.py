"""Words of other programs get the field that is meant, or the way to the same end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import residua
from residua._base.errors import InputError
from residua.cli.app import main
from residua.specs.catalog import counts, get_spec
from residua.specs.costs_of_others import COSTS, cost_of, nearest_by_cost
from residua.specs.synonyms import _FIELDS, _SENTENCES, _squeezed, meant

WORDS = {
    "lr": "--learning-rate",
    "epoch": "--epochs",
    "imgsz": "--image-size",
    "batch": "--batch-size",
    "num-workers": "--workers",
    "pretrained": "--weights torchvision:IMAGENET1K_V1",
    "class-weights": "--balance loss",
    "callbacks": "--track wandb",
    "quiet": "2>/dev/null",
}


@pytest.mark.parametrize(("word", "wanted"), WORDS.items())
def test_the_command_names_its_own_flag(word: str, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", f"--{word}", "3"]) == 2
    printed = capsys.readouterr().err
    assert f"--{word}, which is no option of residua train" in printed
    assert wanted in printed


@pytest.mark.parametrize("word", ["lr", "epoch", "imgsz", "batch", "pretrained", "quiet", "class_weights", "callbacks"])
def test_python_names_the_field(word: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        residua.train("digits", "cifar_resnet8", out=tmp_path / "run", **{word: 1})
    remedy = meant(
        word, ["learning_rate", "epochs", "image_size", "batch_size", "weights", "resume", "balance", "track"]
    )
    assert remedy
    assert remedy in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_unlike_words_are_not_taken_for_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        residua.train("digits", out=tmp_path / "run", tokenizer=1)
    assert "Did you mean" not in str(caught.value)
    with pytest.raises(InputError, match="Did you mean momentum"):
        residua.train("digits", out=tmp_path / "run", momentun=1)


def test_each_word_means_one_thing() -> None:
    words = [_squeezed(word) for text in (*_FIELDS.values(), *_SENTENCES) for word in text.split()]
    # The same word with another separator counts once.
    spelt = {word: [field for field, text in _FIELDS.items() if word in map(_squeezed, text.split())] for word in words}
    assert not {word: fields for word, fields in spelt.items() if len(fields) > 1}


def test_only_fields_that_can_be_given_are_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    assert not meant("lr", ["batch_size"])
    assert main(["evaluate", "runs/a", "--lr", "3"]) == 2
    assert "learning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "cost", "nearest"),
    [
        ("efficientnet_b0", "efficientnet_b0", "resnet18"),
        ("tf_efficientnet_b4_ns", "efficientnet_b4", "resnext50_32x4d"),
        ("mobilenetv3_large_100", "mobilenet_v3_large", "resnet18"),
        ("mobilenet_v3", "mobilenet_v3_small", "resnet18"),
        ("convnext_tiny", "convnext_tiny", "seresnet50"),
    ],
)
def test_networks_outside_are_named_with_the_nearest_by_cost(name: str, cost: str, nearest: str) -> None:
    assert cost_of(name) == COSTS[cost]
    with pytest.raises(InputError, match="which is outside") as caught:
        get_spec(name)
    assert re.search(rf"By cost the nearest residual network is {nearest} \(", str(caught.value))
    assert f"Use {nearest} with what it lacks in mind" in str(caught.value)
    params, macs = counts(nearest) or (0, 0)
    assert f"{params / 1e6:.3g} M parameters, {macs / 1e9:.3g} G MACs" in str(caught.value)


def test_the_nearest_is_nearest_in_ratios() -> None:
    assert nearest_by_cost((10, 100), {"a": (20, 200), "b": (5, 60), "c": (12, 1000)}) == "b"
    assert cost_of("vit_base_patch16_224") is None


def test_a_finished_run_names_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "cifar_resnet8", "--epochs", "1", "--image-size", "16", "--train-images", "64"]
    assert main(["train", "digits", "--out", str(tmp_path / "a"), "--kernels", "eager", *options]) == 0
    assert main(["train", "digits", "--out", str(tmp_path / "a"), "--resume"]) == 0
    way = f"residua train digits --model cifar_resnet8 --weights {tmp_path / 'a'} --out ANOTHER"
    assert f"is finished: nothing is left to do. To train on, begin another run with its weights: {way}" in (
        capsys.readouterr().err
    )
