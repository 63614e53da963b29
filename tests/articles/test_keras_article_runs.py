"""Rows 66 to 80 of the list of what the articles name: Keras's CIFAR-10 example, its training and its results."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.runs import colour_folder, colour_run
from residua.anatomy import cost, inspect
from residua.cli.app import main
from residua.data.augment import Augment
from residua.families.build import build
from residua.specs.augment import AugmentSpec
from residua.specs.catalog import counts, get_spec
from residua.specs.preprocess import default_preprocess
from residua.training.recipe_file import load_recipe, override
from residua.training.state import State

LABELS, INDICES = torch.arange(64) % 10, np.arange(64)


def _images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(1, 256, (64, 3, 32, 32)).astype(np.uint8))


def _augmented(spec: AugmentSpec, images: torch.Tensor) -> torch.Tensor:
    return Augment(spec, 10, default_preprocess(32))(images, LABELS, INDICES, 0, 0)[0]


def test_row_066_the_rate_falls_where_the_loss_stands_still() -> None:
    """After five epochs without a better validation loss the root of 0.1; then at once five more; floor 5e-7."""
    recipe = load_recipe("keras", images=50_000)
    assert (recipe.plateau_factor, recipe.plateau_patience) == (pytest.approx(math.sqrt(0.1)), 5)
    assert recipe.min_learning_rate == 0.5e-6
    state, scales = State(), []
    for loss in (1.0, 0.9, *[0.9] * 4, 0.95, *[0.9] * 5, 0.5):
        state.rank(recipe, 0.5, loss)
        scales.append(state.plateau_scale)
    root = math.sqrt(0.1)
    assert scales == pytest.approx([1.0] * 6 + [root] * 5 + [0.1] * 2)


def test_row_069_half_of_the_images_are_mirrored() -> None:
    """Left and right change places, top and bottom never; the recipe has it on."""
    assert load_recipe("keras", images=50_000).augment.flip
    images = _images()
    found = _augmented(AugmentSpec(flip=True), images)
    mirrored = [torch.equal(one, other.flip(2)) for one, other in zip(found, images, strict=True)]
    same = [torch.equal(one, other) for one, other in zip(found, images, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 16 <= sum(mirrored) <= 48


def test_row_070_augmentation_is_switched_off() -> None:
    """Without shift and mirror the network is trained on the images as they are."""
    recipe = override(load_recipe("keras", images=50_000), shift="0", flip="no")
    images = _images()
    assert torch.equal(_augmented(recipe.augment, images), images)
    assert not torch.equal(_augmented(load_recipe("keras", images=50_000).augment, images), images)


def test_row_074_a_table_of_layers(capsys: pytest.CaptureFixture[str]) -> None:
    """Each layer with its output and parameters, as a summary has them: 20 layers with weights, 273,066 in all."""
    assert main(["inspect", "cifar_resnet20_keras", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["layers"]}
    assert (rows["conv1"]["output"], rows["conv1"]["params"]) == ([16, 32, 32], 3 * 3 * 3 * 16 + 16)
    assert (rows["layer2.0.conv1"]["output"], rows["layer2.0.conv1"]["params"]) == ([32, 16, 16], 4640)
    assert (rows["layer3.2.bn2"]["params"], rows["fc"]["params"]) == (128, 650)
    assert sum(row["params"] for row in rows.values()) == document["params"] == 273_066
    weighted = [row for row in rows.values() if row["operation"] in ("conv2d", "linear")]
    assert len([row for row in weighted if "downsample" not in row["name"]]) == 20
    assert main(["inspect", "cifar_resnet20_keras"]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("layer2.0.conv1", "4,640", "273,066"))


def test_row_075_loss_and_accuracy_of_the_test_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """30 of 32 images right: 93.75%, and the loss that the logits 4, 0, 0 give by hand."""
    data = colour_folder(tmp_path / "data", wrong=[("red", "blue"), ("green", "red")])
    assert main(["evaluate", str(colour_run(tmp_path / "run")), str(data)]) == 0
    printed = capsys.readouterr().out
    right = math.log(1 + 2 * math.exp(-4))
    loss = (30 * right + 2 * (4 + right)) / 32
    assert "top-1 93.75%" in printed
    assert f"loss {loss:.4f}" in printed


def test_row_076_152_layers_are_eight_times_19() -> None:
    """Eight times as deep as VGG-19, with 60.2 million parameters against 143.7, and 11.3 GMACs against 19.6."""
    deep, vgg = get_spec("resnet152_v1"), get_spec("vgg19")
    assert deep.depth == 8 * vgg.depth == 152
    assert (counts("resnet152_v1"), counts("vgg19")) == ((60_192_808, 11_282_415_616), (143_667_240, 19_632_062_464))


def test_row_079_100_to_1000_layers_on_cifar() -> None:
    """The parameters of four depths; a gradient reaches the first of 1,202 layers."""
    published = {
        "cifar_resnet110": (110, 1_727_962),
        "cifar_resnet164_v2_bottleneck": (164, 1_703_258),
        "cifar_resnet1001_v2_bottleneck": (1001, 10_327_706),
        "cifar_resnet1202": (1202, 19_421_274),
    }
    for name, (depth, params) in published.items():
        assert (get_spec(name).depth, (counts(name) or (0, 0))[0]) == (depth, params)
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet1202", widths=(2, 2, 2), stem_width=2))
    network(torch.randn(2, 3, 8, 8)).square().sum().backward()
    gradient = network.conv1.weight.grad
    assert gradient.isfinite().all()
    assert gradient.norm() > 1e-3


def test_row_080_34_plain_layers_by_the_rules_of_vgg() -> None:
    """3×3 kernels, twice the channels where the side halves, 18% of VGG-19's work; shortcuts make it resnet34."""
    plain, residual = get_spec("plain34"), get_spec("resnet34")
    assert plain.edit(shortcut="projection", name="resnet34") == residual
    convs = [layer for layer in inspect(plain).layers if layer.operation == "conv2d"]
    assert {layer.window[0] for layer in convs[1:]} == {(3, 3)}
    assert {layer.output[0] * layer.output[1] for layer in convs[1:]} == {64 * 56}
    assert (len(convs), plain.depth) == (33, 34)
    macs = cost(plain).macs
    assert macs == 3_644_493_824
    assert cost(residual).macs - macs == 3 * (128 * 64) * 28 * 28  # three projections of equal cost
    assert macs / cost(get_spec("vgg19")).macs == pytest.approx(0.186, abs=0.001)
