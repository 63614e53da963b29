"""Public functions given what is no name, no spec or no size: an error that names a remedy, never torch's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import residua
from residua import InputError, build, create_model, get_spec

CALLS: dict[str, dict[str, Any]] = {
    "build": {},
    "check": {},
    "convert": {"model": "resnet18", "out": "run"},
    "create_model": {},
    "evaluate": {},
    "explain": {"paths": "a.png"},
    "export": {"format": "onnx", "out": "export"},
    "get_spec": {},
    "inspect": {},
    "list_models": {},
    "load": {},
    "open_dataset": {},
    "predict": {"paths": "a.png"},
    "study": {"data": "digits"},
    "train": {"model": "cifar_resnet8", "out": "run"},
    "verify": {},
}


@pytest.mark.parametrize("name", CALLS)
def test_a_first_argument_of_the_wrong_type_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for nonsense in (None, 5):
        with pytest.raises(InputError) as caught:
            getattr(residua, name)(nonsense, **CALLS[name])
        assert str(nonsense) in caught.value.given
        assert caught.value.remedy
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("evaluate", {"batch_size": "x"}, "batch_size='x'"),
        ("evaluate", {"on_bad": "x"}, "on_bad='x'"),
        ("predict", {"paths": "a.png", "top": "3"}, "top='3'"),
        ("predict", {"paths": 5}, "path 5"),
        ("predict", {"paths": None}, "path None"),
        ("explain", {"paths": [5]}, "path 5"),
        ("explain", {"paths": "a.png", "method": 3}, "method=3"),
        ("explain", {"paths": "a.png", "top": 0}, "top=0"),
    ],
)
def test_other_arguments_of_the_wrong_type_are_refused(name: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        getattr(residua, name)("nowhere", **given)


@pytest.mark.parametrize(
    ("name", "edits", "words"),
    [
        ("resnet18", {"num_classes": 10**9}, r"weights take 2,052.0 GB.*fc.weight, 1000000000×512"),
        ("alexnet", {"widths": (2**24,) * 5, "kernels": (1024,) * 5}, "a layer of more than 9,223,372,036,854,775,808"),
        ("resnet18", {"in_channels": 10**18}, "1 to 16,777,216"),
        ("resnet18", {"num_classes": 10**12}, "0 to 1,000,000,000"),
        ("resnet18", {"depths": (10**8,) * 4}, "400,000,000 units. Wanted: at most 100,000"),
        ("resnet18", {"depths": (10**30,) * 4}, "1 to 100,000,000"),
        ("highway_mlp99999999", {}, "99,999,999 units"),
    ],
)
def test_a_network_that_no_memory_holds_is_refused(name: str, edits: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        create_model(name, **edits)


def test_shapes_take_no_memory() -> None:
    with torch.device("meta"):
        assert build(get_spec("resnet18", num_classes=10**9)).get_parameter("fc.weight").shape == (10**9, 512)


def test_weights_a_recipe_and_a_name_for_a_spec(tmp_path: Path) -> None:
    for call in (
        lambda: create_model("resnet18", weights=5),  # type: ignore[arg-type]
        lambda: residua.train("digits", recipe=5, out=tmp_path / "run"),  # type: ignore[arg-type]
        lambda: build("resnet18"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=r"5|get_spec"):
            call()
