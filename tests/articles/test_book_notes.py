"""Rows 30 to 41 of the list of what the articles name: a book's notes on ResNet. One test a row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from residua import verify
from residua.anatomy import cost, inspect
from residua.families.build import build
from residua.specs.catalog import counts, get_spec
from residua.specs.published import published
from residua.studies.catalog import get_study
from residua.studies.measures.flow import forward
from residua.studies.measures.surgery import named_units, without
from residua.studies.study import StudyOptions
from studies.grids import result, results
from studies.measures.test_surgery import network
from studies.test_conclusions import measured

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.tensor([1, 4, 7])
STUDIES = Path(__file__).parents[2] / "docs/studies"


@pytest.mark.parametrize(
    ("name", "units", "layers", "channels"),
    [
        ("resnet18", (2, 2, 2, 2), 2, (64, 128, 256, 512)),
        ("resnet34", (3, 4, 6, 3), 2, (64, 128, 256, 512)),
        ("resnet50_v1", (3, 4, 6, 3), 3, (256, 512, 1024, 2048)),
        ("resnet101_v1", (3, 4, 23, 3), 3, (256, 512, 1024, 2048)),
        ("resnet152_v1", (3, 8, 36, 3), 3, (256, 512, 1024, 2048)),
    ],
)
def test_row_030_the_table_of_five_depths(
    name: str, units: tuple[int, ...], layers: int, channels: tuple[int, ...]
) -> None:
    """He 2015, table 1: sides 112, 56, 28, 14, 7; units and channels of each stage; a classifier of 1,000 classes."""
    found = inspect(name)
    assert next(layer for layer in found.layers if layer.operation == "conv2d").output == (64, 112, 112)
    stem, *stages, head = found.stages
    assert (stem.output, head.output) == ((64, 56, 56), (1000,))
    assert [stage.output for stage in stages] == [(c, s, s) for c, s in zip(channels, (56, 28, 14, 7), strict=True)]
    # The convolutions of its units: the table does not count those that fit the shortcut.
    assert [stage.weighted for stage in stages] == [layers * n for n in units]
    assert layers * sum(units) + 2 == get_spec(name).depth == int(name.removesuffix("_v1").removeprefix("resnet"))


def test_row_031_flops_of_the_five_depths() -> None:
    """1.8, 3.6, 3.8, 7.6 and 11.3 billion as published, beside the exact counts."""
    names = ("resnet18", "resnet34", "resnet50_v1", "resnet101_v1", "resnet152_v1")
    found = verify(names, peers=[])
    assert found.ok
    exact = [1_814_073_344, 3_663_761_408, 3_857_973_248, 7_570_194_432, 11_282_415_616]
    assert [receipt.counts.macs for receipt in found.receipts] == exact
    printed = [record.paper.macs for name in names if (record := published(name)) and record.paper]
    assert printed == ["1.8G", "3.6G", "3.8G", "7.6G", "11.3G"]
    assert [abs(float(text[:-1]) - macs / 1e9) < 0.07 for text, macs in zip(printed, exact, strict=True)] == [True] * 5


def test_row_032_fewer_parameters_than_vgg() -> None:
    """152 layers have 60.2 million, VGG-16 138.4 and VGG-19 143.7 million."""
    deep, *vgg = ((counts(name) or (0, 0))[0] for name in ("resnet152_v1", "vgg16", "vgg19"))
    assert (deep, *vgg) == (60_192_808, 138_357_544, 143_667_240)
    assert deep < min(vgg) / 2


def test_row_035_a_linear_map_where_dimensions_differ() -> None:
    """Three 1×1 convolutions of stride 2 in 34 layers, without an activation; every other shortcut is the identity."""
    units = named_units(build(get_spec("resnet34", widths=(8, 16, 32, 64), stem_width=8)))  # type: ignore[arg-type]
    mapped = {name: unit.downsample for name, unit in units.items() if unit.downsample is not None}
    assert list(mapped) == ["layer2.0", "layer3.0", "layer4.0"]
    for module in mapped.values():
        conv, norm = module
        assert (conv.kernel_size, conv.stride, conv.out_channels) == ((1, 1), (2, 2), 2 * conv.in_channels)
        assert isinstance(norm, nn.BatchNorm2d)
    assert len(units) == 16


def test_row_037_in_v2_signals_pass_directly() -> None:
    """He 2016, equations 4 and 5: x_L = x_l + ΣF, and the gradient at x_l holds that at x_L whole."""
    net = network(activation="full_pre", stem_norm=True).double()
    steps = forward(net, IMAGES, LABELS, training=False).steps
    stage = steps[:2]  # units whose shortcuts are the identity
    branches = [step.branch for step in stage if step.branch is not None]
    torch.testing.assert_close(stage[-1].out, stage[0].x + sum(branches))
    gradient = torch.randn(stage[0].out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for step in stage:
        whole, through = step.back(gradient)
        torch.testing.assert_close(whole - through, gradient)
    # The original unit lets nothing pass where its ReLU is off.
    post = forward(network().double(), IMAGES, LABELS, training=False).steps[0]
    whole, through = post.back(gradient)
    torch.testing.assert_close(whole - through, gradient * (post.out > 0))


@torch.no_grad()
def test_row_038_shared_units_are_a_recurrent_network() -> None:
    """Unrolled, each stage applies one function again and again; three such steps cost no weight more than one."""
    shared = build(get_spec("cifar_resnet32", sharing="units")).eval()
    x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0)).relu()
    first, second, *later = shared.layer1
    state, unrolled = first(x.clone()), first(x.clone())
    for unit in (second, *later):
        state, unrolled = unit(state.clone()), second(unrolled.clone())
    assert len(later) == 3
    assert torch.equal(state, unrolled)
    assert cost(shared.spec).params == cost(get_spec("cifar_resnet14")).params
    study = get_study("recurrence")
    arms = study.grid(StudyOptions(quick=True))
    assert [arm.label for arm in arms] == ["unshared", "kernels shared", "units shared", "two units a stage"]
    found = [result(arm, test=error) for arm, error in zip(arms, (0.25, 0.3, 0.4, 0.45), strict=True)]
    gain = study.conclude(results(arms, found)).verdict.numbers["kernels shared beside two units a stage"]
    assert gain.value == pytest.approx(-0.15)


@torch.no_grad()
def test_row_039_a_residual_network_is_an_ensemble() -> None:
    """A deleted unit leaves its shortcut: half of the paths remain. A plain network collapses."""
    net, image = network(), torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    stem = net.relu(net.bn1(net.conv1(image)))
    with without(net, ["layer1.0"]):
        torch.testing.assert_close(net.layer1(stem.clone()), net.layer1[1](stem.clone()))
    study = get_study("lesion")
    arms = study.grid(StudyOptions(quick=True, model="cifar_resnet20"))
    assert [arm.group for arm in arms] == ["residual", "plain"]
    found = [result(arm, measured=measured(arm.group, lost)) for arm, lost in zip(arms, (0.02, 0.55), strict=True)]
    verdict = study.conclude(results(arms, found)).verdict
    assert verdict.answer == "yes"
    assert verdict.sentence.startswith("The residual network degrades smoothly, the plain one collapses.")
    stored = json.loads((STUDIES / "lesion-quick/study.json").read_text())["verdict"]["numbers"]
    assert stored["residual, share lost"]["high"] < 0.5 < stored["plain, share lost"]["low"]


@pytest.mark.parametrize("quick", [True, False])
def test_row_040_depth_and_width_at_equal_cost(quick: bool) -> None:
    """A wide network against deep, thin ones of as many parameters and of as many MACs, within half a percent."""
    study = get_study("width-depth")
    wide, parameters, macs = study.grid(StudyOptions(quick))
    names = [arm.spec.name for arm in (wide, parameters, macs)]
    assert names == [f"cifar_wrn{form}" for form in (("10_2", "34_1", "34_1") if quick else ("16_4", "52_1", "52_1"))]
    assert cost(parameters.spec).params == pytest.approx(cost(wide.spec).params, rel=0.005)
    assert cost(macs.spec).macs == pytest.approx(cost(wide.spec).macs, rel=0.005)
    found = [result(arm, test=error) for arm, error in zip((wide, parameters, macs), (0.3, 0.2, 0.2), strict=True)]
    verdict = study.conclude(results((wide, parameters, macs), found)).verdict
    assert verdict.answer == "no", "the deep networks are better here"


@pytest.mark.parametrize(
    ("name", "params", "macs", "blocks"),
    [
        ("inception_v4", 42_679_816, 12_253_974_624, (4, 7, 3)),
        ("inception_resnet_v2", 55_843_464, 13_155_794_016, (10, 20, 10)),
    ],
)
def test_row_041_inception_v4_and_inception_resnet_v2(
    name: str, params: int, macs: int, blocks: tuple[int, ...]
) -> None:
    """Szegedy 2016: 4, 7, 3 blocks without shortcuts, 10, 20, 10 with them; counts as published, at 299 pixels."""
    found = verify(name, peers=[])
    assert found.ok
    assert (found.receipts[0].counts.params, found.receipts[0].counts.macs) == (params, macs)
    assert get_spec(name).input_size == 299
    with torch.device("meta"):
        network = build(get_spec(name))
    if name == "inception_resnet_v2":
        # The last block of the third grid stands apart: its sum is not activated.
        found_blocks = (len(network.repeat), len(network.repeat_1), len(network.repeat_2) + 1)
    else:
        parts = [part for part, _ in network.parts()]
        # The first of the second and third grid halves the resolution; that of the first is the stem's end.
        found_blocks = tuple(sum(part.startswith(f"Mixed_{grid}") for part in parts) - 1 for grid in (5, 6, 7))
    assert found_blocks == blocks
