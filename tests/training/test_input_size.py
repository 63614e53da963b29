"""Images of other sizes than a network's own: fitted where it can be, refused before the data is read where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from residua._base.errors import InputError
from residua.inference.predict import predict
from residua.specs.catalog import get_spec
from residua.training.loop import train
from residua.training.recipe import Recipe
from residua.training.request import ask
from residua.weights.open import load

TINY: dict[str, Any] = {"max_steps": 2, "batch_size": 8, "workers": 1, "device": "cpu"}


def test_too_small_images_are_refused_before_the_data_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("the data was opened")

    monkeypatch.setattr(Recipe, "open_data", read)
    with pytest.raises(InputError, match=r"images of 32 pixels for alexnet.*Use image_size=63 "):
        train("digits", "alexnet", out=tmp_path / "run", image_size=32, progress=False, **TINY)
    assert not (tmp_path / "run").exists()


def test_a_structural_size_follows_the_images(tmp_path: Path) -> None:
    """A fully connected network of 28 × 28 grey pixels is made for the images; its run states so and is a run."""
    run = train("digits", "highway_mlp10", out=tmp_path / "run", image_size=16, progress=False, **TINY)
    assert run.spec == get_spec("highway_mlp10", in_channels=3, input_size=16)
    assert run.model.layer1.transform.weight.shape == (50, 3 * 16 * 16)
    assert "with edits" not in (tmp_path / "run/recipe.toml").read_text()
    again = load(tmp_path / "run")
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(again.model(image), run.model.eval()(image))


def test_a_spec_states_its_channels_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in_channels=3"):
        ask("digits", get_spec("highway_mlp10"), None, tmp_path, resume=False)
    with pytest.raises(InputError, match="images are RGB"):
        ask("digits", "highway_mlp10", None, tmp_path, resume=False, model_edits={"in_channels": 1})
    asked = ask("digits", get_spec("highway_mlp10", in_channels=3), None, tmp_path, resume=False)
    assert (asked.spec.in_channels, asked.spec.input_size) == (3, 28)


@pytest.mark.parametrize(
    ("name", "size", "edits"),
    [
        ("alexnet", 63, {"hidden": 32}),
        ("alexnet_2012", 67, {"hidden": 32}),
        ("zfnet", 64, {"hidden": 32}),
        ("nin", 39, {}),
        ("cifar_nin", 16, {}),
        ("vgg11_bn", 32, {"hidden": 32, "grid": 1}),
        ("cifar_highway19", 16, {}),
        ("cifar_highway32", 16, {}),
    ],
)
def test_every_classic_network_trains_at_a_small_size(name: str, size: int, edits: dict, tmp_path: Path) -> None:
    run = train("digits", name, out=tmp_path / "run", image_size=size, model_edits=edits, progress=False, **TINY)
    assert run.spec.input_size == size
    assert run.metrics["steps"] == 2
    assert all(value.isfinite().all() for value in run.model.state_dict().values())
    assert len(predict(run, [_digit(tmp_path / "seven.png")])) == 1


def _digit(path: Path) -> Path:
    Image.fromarray((load_digits().images[7] * 15).astype(np.uint8)).save(path)
    return path
