"""One rule for the preprocessing of a file: converting it and giving it as weights arrive at the same transform."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from residua.cli.app import main
from residua.specs.catalog import get_spec
from residua.specs.preprocess import CIFAR_MEAN, CIFAR_STD, IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec
from residua.weights.convert import convert
from residua.weights.create import create_model
from residua.weights.identity import Target
from residua.weights.named.resolve import resolve
from residua.weights.preprocess.settle import Statements, settle_preprocess
from weights.files.test_wrapped_files import as_huggingface, as_mmpretrain

CIFAR = PreprocessSpec(32, 32, mean=CIFAR_MEAN, std=CIFAR_STD)
SMALL: dict[str, Any] = {"depths": (1, 1, 1, 1), "widths": (8, 8, 8, 8), "stem_width": 8, "num_classes": 3}


def _as_cifar(name: str) -> str:
    return name.replace("fc.", "linear.")


def _as_ours(name: str) -> str:
    return name


def _home_made(name: str) -> str:
    return name.replace("layer", "blocks.").replace("fc.", "head.")


def _wrapped(name: str) -> str:
    return f"module.{name}"


def _saved(path: Path, spec: Any, rule: Callable[[str], str]) -> Path:
    state: dict[str, Tensor] = create_model(spec).state_dict()
    torch.save({rule(name): tensor for name, tensor in state.items()}, path)
    return path


@pytest.mark.parametrize(
    ("model", "edits", "rule", "wanted", "whose"),
    [
        ("cifar_resnet8", {}, _as_ours, CIFAR, "Residua trains cifar_resnet8"),
        ("cifar_resnet8", {}, _wrapped, CIFAR, "Residua trains cifar_resnet8"),
        ("cifar_seresnet20", {}, _as_ours, CIFAR, "Residua trains cifar_seresnet20"),
        (
            "cifar_resnet8",
            {"shortcut": "pad_both"},
            _as_cifar,
            PreprocessSpec(32, 32, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            "cifar_resnet's",
        ),
        ("resnet18", SMALL, _as_ours, PreprocessSpec(224, 256), "torchvision's"),
        ("resnet18", SMALL | {"input_size": 32}, _as_ours, CIFAR, "Residua trains resnet18"),
        ("resnet50_v1", SMALL, _as_ours, PreprocessSpec(224, 256), "Residua trains resnet50_v1"),
        ("resnet50", SMALL, as_huggingface, PreprocessSpec(224, 256, "bicubic"), "huggingface's"),
        ("resnet50", SMALL, as_mmpretrain, PreprocessSpec(224, 256), "mmpretrain's"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or (value if isinstance(value, str) else ""),
)
def test_converting_and_loading_agree(
    tmp_path: Path, model: str, edits: dict[str, Any], rule: Callable[[str], str], wanted: PreprocessSpec, whose: str
) -> None:
    spec = get_spec(model, **edits)
    path = _saved(tmp_path / "w.pth", spec, rule)
    weights = resolve(path, Target(spec))
    run = convert(path, model=spec, out=tmp_path / "run")
    assert weights.preprocess == run.preprocess_spec == wanted
    notes = [line for line in run.data["converted"]["notes"] if "Preprocessing assumed" in line]
    for line in (weights.assumed, *notes):
        assert line.startswith(f"Preprocessing assumed, as {whose}"), line
    assert (len(notes), run.data["converted"]["source"]) == (1, weights.provenance.source)


def test_files_beside_the_weights_state_it_for_both(tmp_path: Path) -> None:
    spec = get_spec("resnet18", **SMALL)
    path = _saved(tmp_path / "w.pth", spec, _as_ours)
    config: dict[str, Any] = {"mean": [0.1, 0.2, 0.3], "interpolation": "bilinear"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert resolve(path, Target(spec)).preprocess == PreprocessSpec(224, 256), "a config.json of something else"
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": config}))
    weights = resolve(path, Target(spec))
    wanted = PreprocessSpec(224, 256, mean=(0.1, 0.2, 0.3))
    assert (weights.preprocess, weights.assumed) == (wanted, "")
    assert convert(path, model=spec, out=tmp_path / "run").preprocess_spec == wanted


@pytest.mark.parametrize("flags", [[], ["--by-structure"]], ids=["ours", "by structure"])
def test_the_command_claims_no_source_that_is_none(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = _saved(tmp_path / "w.pth", "cifar_resnet8", _home_made if flags else _as_ours)
    words = ["convert", str(path), "--model", "cifar_resnet8", "--out", str(tmp_path / "run"), *flags]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "torchvision" not in shown.out + shown.err
    assert ("(matched by structure)" if flags else "(under Residua's names)") in shown.out
    assert "shorter side to 32 (bilinear), centre crop 32" in shown.out


def test_a_side_that_is_edited_leaves_torchvisions_transform() -> None:
    for size, wanted in ((224, PreprocessSpec(224, 256)), (64, PreprocessSpec(64, 64, mean=CIFAR_MEAN, std=CIFAR_STD))):
        spec = get_spec("resnet18", input_size=size)
        assert settle_preprocess(spec, "torchvision", Path("w.pth"), Statements()).spec == wanted
