"""Rows 16 to 29 of the list of what the articles name: TF-slim's networks and their benchmark. One test a row."""

from __future__ import annotations

import inspect as signatures

import pytest
import torch

from residua._base.errors import InputError
from residua.bench.bench import bench
from residua.bench.case import Case
from residua.bench.report import BenchReport, Result
from residua.bench.steps import flops_of, images_of
from residua.bench.timing import Timing
from residua.families.build import build
from residua.specs.catalog import counts, get_spec
from residua.verification.slim_peer import SlimNetwork, blocks
from residua.weights.sources.read_source import ours_from


@torch.no_grad()
def _every_end_point_agrees(layers: int, units: int) -> None:
    """The variables of the network that is read from lists of units are converted; then every end point is equal."""
    theirs = SlimNetwork(f"resnet_v2_{layers}", blocks(layers), classes=11)
    assert sum(map(len, theirs.units)) == units
    assert 3 * units + 2 == layers
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = theirs(image)
    converted = ours_from(get_spec(f"resnet{layers}_v2_slim"), theirs.variables, "slim")
    assert converted.spec.num_classes == 11
    with torch.device("meta"):
        network = build(converted.spec).eval()
    network.load_state_dict(converted.tensors, assign=True)
    found = network.double().forward_intermediates(image)
    assert [name for name in found if name in wanted] == list(wanted)
    for name, value in wanted.items():
        assert found[name].shape == value.shape, name
        assert ((found[name] - value).abs().max() / value.abs().max()).item() < 1e-9, name
    torch.testing.assert_close(found["logits"], wanted[f"resnet_v2_{layers}/logits"].flatten(1))


def test_row_016_resnet_v2_50() -> None:
    """16 units; at 224 pixels the blocks end with 28, 14, 7 and 7 pixels a side, 2,048 channels."""
    _every_end_point_agrees(50, 3 + 4 + 6 + 3)
    with torch.device("meta"), torch.no_grad():
        points = build(get_spec("resnet50_v2_slim")).eval().forward_intermediates(torch.empty(1, 3, 224, 224))
    ends = [tuple(points[f"resnet_v2_50/block{number}"].shape[1:]) for number in (1, 2, 3, 4)]
    assert ends == [(256, 28, 28), (512, 14, 14), (1024, 7, 7), (2048, 7, 7)]


def test_row_017_resnet_v2_101() -> None:
    """33 units, 23 of them in the third block."""
    _every_end_point_agrees(101, 3 + 4 + 23 + 3)


def test_row_018_resnet_v2_152() -> None:
    """50 units: 8 in the second block, 36 in the third."""
    _every_end_point_agrees(152, 3 + 8 + 36 + 3)


def test_row_019_resnet_v2_200() -> None:
    """66 units: 23 and the strided one in the second block, 36 in the third."""
    _every_end_point_agrees(200, 3 + (23 + 1) + 36 + 3)


@pytest.mark.parametrize(("output_stride", "side", "dilations"), [(8, 28, (2, 4)), (16, 14, (1, 2))])
@torch.no_grad()
def test_row_024_output_stride(output_stride: int, side: int, dilations: tuple[int, int]) -> None:
    """224 pixels leave 28 or 14 a side; blocks behind dilate, with the same weights; other strides are refused."""
    spec = get_spec("resnet50_v2_slim", output_stride=output_stride)
    with torch.device("meta"):
        network = build(spec).eval()
        assert network.forward_features(torch.empty(1, 3, 224, 224)).shape == (1, 2048, side, side)
        own = build(get_spec("resnet50_v2_slim"))
    assert (network.layer3[0].conv2.dilation, network.layer4[0].conv2.dilation) == tuple((d, d) for d in dilations)
    shapes = {name: tensor.shape for name, tensor in own.state_dict().items()}
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == shapes
    with pytest.raises(InputError, match="0, for its own, or one of 4, 8, 16, 32"):
        get_spec("resnet50_v2_slim", output_stride=12)


@torch.no_grad()
def test_row_025_a_network_is_used_again_with_the_same_weights() -> None:
    """Two places in one graph share every variable: 174 of them as in one, and equal answers."""
    spec = get_spec("resnet50_v2_slim", widths=(8, 16, 24, 32), stem_width=8)
    network, image = build(spec).eval(), torch.randn(1, 3, 64, 64)
    both = torch.nn.ModuleList([network, network])
    assert len(list(both.parameters())) == len(list(network.parameters())) == 174
    assert torch.equal(both[0](image), both[1](image))
    network.fc.bias += 1
    torch.testing.assert_close(both[1](image), both[0](image))


def test_row_026_batches_of_32_images_of_noise() -> None:
    """resnet152_v2_slim reads (32, 3, 224, 224) in evaluation mode by default: 698 billion FLOPs a step."""
    defaults = {name: field.default for name, field in signatures.signature(bench).parameters.items()}
    assert (defaults["batch"], defaults["mode"], defaults["precision"]) == (32, "forward", "fp32")
    spec = get_spec("resnet152_v2_slim")
    case = Case(spec.name, "residua", "forward", "eager", "fp32", defaults["batch"], spec.input_size)
    images = images_of(spec, case, torch.device("cpu"))
    assert images.shape == (32, 3, 224, 224)
    assert images.std().item() > 0.5
    macs = (counts(spec.name) or (0, 0))[1]
    assert macs == 10_906_697_728
    assert flops_of(case, spec) == 32 * 2 * macs


def test_row_027_ten_steps_to_warm_up_a_hundred_to_measure() -> None:
    """The defaults; steps of warming up leave no time behind."""
    parameters = signatures.signature(bench).parameters
    assert (parameters["warm_up"].default, parameters["batches"].default) == (10, 100)
    steps: list[tuple[int, int]] = []
    report = bench(
        "cifar_resnet8",
        resolution=8,
        batch=1,
        device="cpu",
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(number, 110) for number in range(1, 111)]
    assert (report.warm_up, len(report.results[0].timing.seconds)) == (10, 100)


def test_row_029_mean_and_deviation_of_a_hundred_steps() -> None:
    """The closing line: network, steps, mean and standard deviation in seconds a batch, three decimals."""
    seconds = (1.0,) * 50 + (3.0,) * 50
    case = Case("resnet152_v2_slim", "residua", "forward", "eager", "fp32", 32, 224)
    report = BenchReport((Result(case, Timing(seconds), 1, None, 1.0),), {}, 10)
    wanted = "resnet152_v2_slim (residua): forward across 100 steps, 2.000 +/- 1.005 sec / batch"
    assert report.sentences() == [wanted]
    # Over the steps as a sample; the deviation of the hundred values themselves is 1.
    assert report.results[0].timing.deviation == pytest.approx((100 / 99) ** 0.5)
