"""Bundles whose signature holds and whose header is absurd: each is refused before anything is computed from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from residua._base.errors import InputError
from residua.weights.bundle import signed
from residua.weights.bundle.read import load_bundle
from residua.weights.bundle.signed import read_signed, write_signed
from residua.weights.create import create_model
from residua.weights.open import load
from weights.bundles import save_tiny, tiny_spec

Document = dict[str, Any]


def put(*keys: str, value: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


def without(key: str) -> Callable[[Document], None]:
    return lambda document: document.pop(key) and None


CRAFTED = {
    "image_size": put("preprocess", "image_size", value=30_000),
    "image_size in millions": put("preprocess", "image_size", value=10**6),
    "resize": put("preprocess", "resize", value=10**18),
    "resize of 400 digits": put("preprocess", "resize", value=10**400),
    "mean": put("preprocess", "mean", value=[1e308] * 3),
    "std": put("preprocess", "std", value=[5e-324] * 3),
    "mean of text": put("preprocess", "mean", value="red"),
    "crop_mode": put("preprocess", "crop_mode", value="letterbox"),
    "preprocess of more": put("preprocess", "wings", value=2),
    "preprocess of numbers": put("preprocess", value={"1": 2}),
    "temperature": put("calibration", value={"temperature": 5e-324}),
    "large temperature": put("calibration", value={"temperature": 1e308}),
    "whole temperature": put("calibration", value={"temperature": 10**400}),
    "calibration": put("calibration", value=[1.5]),
    "a later field": put("wings", value=1),
    "classes of lists": put("classes", value=[["cat"], {}, None]),
    "depths": put("spec", "depths", value=[10**9, 1, 1]),
    "widths": put("spec", "widths", value=[10**18, 4, 8]),
    "num_classes": put("spec", "num_classes", value=10**400),
    "in_channels": put("spec", "in_channels", value=-3),
    "input_size": put("spec", "input_size", value=10**9),
    "bn_eps": put("spec", "bn_eps", value=1e308),
    "family": put("spec", "family", value=["resnet"]),
    "spec": put("spec", value={}),
    "versions": put("versions", value={"residua": {"a": 1}}),
    "weights_sha256": put("weights_sha256", value=3),
    "initial_weights": put("initial_weights", value="base"),
    "data": put("data", value=None),
    "recipe": put("recipe", value={"early_stop_epochs": [1]}),
    "recipe of numbers": put("recipe", value={"keep": 3}),
    **{f"no {key}": without(key) for key in ("recipe", "spec", "classes", "preprocess", "metrics", "data", "versions")},
}
SOUND = ("a later field", "versions")  # what may be accepted: a field that is not read, and one that is text alone


@pytest.mark.parametrize("name", CRAFTED)
def test_a_signed_absurdity_is_refused(name: str, tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "run")
    document, tensors = read_signed(path)
    CRAFTED[name](document)
    write_signed(path, tensors, document)
    (tmp_path / "run" / "config.json").unlink()
    if name in SOUND:
        load(tmp_path / "run")
        return
    for call in (load_bundle, load, lambda folder: create_model(tiny_spec(), weights=folder)):
        with pytest.raises(InputError):
            call(tmp_path / "run")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"schema": 1, "sha256": "", "x": ' + "9" * 5000 + "}", '{"a": NaN}', "[]", "null", "3", '"a"', ""],
)
def test_a_header_that_is_no_document_is_refused(text: str, tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "run")
    _, tensors = read_signed(path)
    safetensors.torch.save_file(tensors, path, metadata={signed.KEY: text})
    with pytest.raises(InputError):
        load_bundle(tmp_path / "run")
