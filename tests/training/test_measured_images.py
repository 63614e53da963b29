"""Runs whose images are prepared by the training images' own statistics, from the recipe to the answer and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import residua
from residua._base.errors import InputError
from residua.data.open import open_dataset
from residua.data.preprocess.resize import apply_uint8
from residua.evaluation.evaluate import evaluate
from residua.inference.explain import explain
from residua.specs.preprocess import PreprocessSpec, default_preprocess
from residua.training import loop
from residua.training.folder.run_folder import read_origin
from residua.training.loop import train
from residua.training.recipe import Recipe
from residua.training.recipe_file import load_recipe
from residua.training.step.optim import build_optimizer, parameter_groups
from residua.weights.run import Run

PIXEL: dict[str, Any] = {"center": "pixel", "std": "none"}


def _unit_images(val_fraction: float = 0.1) -> np.ndarray:
    """Return the training images of digits at 16 pixels, float64 (N, 16, 16, 3) in [0, 1]."""
    images = open_dataset("digits", val_fraction=val_fraction).splits["train"].images
    return np.stack([apply_uint8(images.read(place), PreprocessSpec(16, 16)) for place in range(len(images))]) / 255


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small: dict[str, Any]) -> Run:
    return train(
        "digits", "cifar_resnet8", out=tmp_path_factory.mktemp("runs") / "pixel", progress=False, **small, **PIXEL
    )


def test_the_mean_is_that_of_the_training_images(run: Run) -> None:
    array = run.preprocess_spec.mean_image
    assert array is not None
    mean = _unit_images().mean(0)
    np.testing.assert_allclose(np.asarray(array.view()), mean, atol=1e-7)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_allclose(run.preprocess(image).numpy(), (image / 255 - mean).transpose(2, 0, 1), atol=1e-6)


def test_evaluation_explanation_and_further_training_use_it(run: Run, tmp_path: Path, small: dict[str, Any]) -> None:
    assert evaluate(run.folder).top1 == run.metrics["top1"]
    with pytest.raises(InputError, match=r"multiscale.*mean_image"):
        evaluate(run.folder, views="multiscale")
    Image.new("RGB", (20, 20), (200, 30, 60)).save(tmp_path / "a.png")
    for method in ("integrated-gradients", "occlusion"):
        assert explain(run, tmp_path / "a.png", method=method, out=tmp_path / f"{method}.png")
    options = small | {"epochs": 1, "recipe": "fast"}
    further = train("digits", "cifar_resnet8", out=tmp_path / "further", weights=run.folder, progress=False, **options)
    assert further.preprocess_spec == run.preprocess_spec
    origin = read_origin(tmp_path / "further")
    assert origin is not None
    assert origin.initial_weights is not None
    assert origin.initial_weights.preprocess == run.preprocess_spec


def test_a_resumed_run_measures_the_same(run: Run, tmp_path: Path, small: dict[str, Any]) -> None:
    options = small | PIXEL
    folder = tmp_path / "run"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            train("digits", "cifar_resnet8", out=folder, progress=False, **options)
    again = train("digits", out=folder, resume=True, progress=False)
    assert again.weights_sha256 == run.weights_sha256
    assert again.preprocess_spec == run.preprocess_spec


def test_centre_deviation_and_whitening(tmp_path: Path, small: dict[str, Any]) -> None:
    options = small | {
        "epochs": 1,
        "image_size": 8,
        "center": "channel",
        "std": "image",
        "zca": True,
        "zca_epsilon": 0.1,
    }
    run = train("digits", "cifar_resnet8", out=tmp_path / "run", progress=False, **options)
    spec = run.preprocess_spec
    assert spec.whitening is not None
    assert spec.image_std
    assert spec.whitening.shape == (192, 192)
    assert evaluate(run.folder).loss == pytest.approx(run.metrics["loss"])
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["pretrained_cfg"]["residua"]
    assert set(stored) == {"whitening", "image_std"}


def test_what_is_customary_is_not_measured(finished: Path) -> None:
    assert residua.load(finished).preprocess_spec == default_preprocess(16)


def test_the_test_images_choose_where_that_is_asked_for_by_name(
    tmp_path: Path, small: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    options = small | {"val_fraction": 0, "validate_on": "test", "keep": "best", "precision": "fp32"}
    run = train("digits", "cifar_resnet8", out=tmp_path / "run", **options)
    assert "The test images validate" in capsys.readouterr().err
    assert run.data["counts"] == {"train": 1438, "test": 359}
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert run.metrics["top1"] == max(line["val_top1"] for line in lines)
    report = evaluate(run.folder)
    assert "chosen on them" in report.data["evaluated"]
    assert "chosen on them" in json.loads((tmp_path / "run" / "report.json").read_text())["data"]["evaluated"]


def test_the_test_images_choose_nothing_else(tmp_path: Path, small: dict[str, Any]) -> None:
    options = small | {"keep": "best"}
    for fields, words in (
        ({"val_fraction": 0}, "validate_on='test' where"),
        ({"validate_on": "test"}, "no training images set aside"),
        ({"zca": True}, "zca with center='customary'"),
        ({"center": "median"}, "center='median'"),
    ):
        with pytest.raises(InputError, match=words):
            train("digits", "cifar_resnet8", out=tmp_path / "run", progress=False, **options | fields)
    assert not (tmp_path / "run").exists()


def test_epsilon_and_what_decays() -> None:
    model = residua.create_model("cifar_resnet8_keras")
    kernels = {id(p) for name, p in model.named_parameters() if p.ndim == 4}
    recipe = load_recipe("keras")
    groups = {group["weight_decay"]: group["params"] for group in parameter_groups(model, recipe)}
    assert {id(p) for p in groups[2e-4]} == kernels  # type: ignore[attr-defined]
    assert set(groups) == {2e-4, 0.0}
    assert {group["eps"] for group in build_optimizer(model, recipe).param_groups} == {1e-7}
    # Runs of other recipes keep torch's own.
    assert torch.optim.Adam([torch.zeros(1)]).defaults["eps"] == Recipe().epsilon
