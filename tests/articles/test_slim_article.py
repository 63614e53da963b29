"""Rows 1 to 15 of the list of what the articles name: TF-slim's layers, units and training. One test a row."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residua.families.build import build
from residua.layers.conv import conv2d, initialise, max_pool2d
from residua.layers.highway import HighwayLayer
from residua.specs.catalog import get_spec
from residua.studies.catalog import get_study
from residua.studies.study import StudyOptions
from residua.training.recipe import Recipe
from residua.training.step.optim import parameter_groups
from studies.grids import result, results

SLIM = get_spec("resnet50_v2_slim")
# As many units, of fewer channels.
NARROW = SLIM.edit(widths=(8, 16, 24, 32), stem_width=8)


def _image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_row_001_highway_layers_mix_transform_and_input() -> None:
    """y = H·T + x·(1 − T); a gate that is shut carries x, one that is open gives H, both to the bit."""
    transform, gate = nn.Linear(5, 5).double(), nn.Linear(5, 5).double()
    layer, x = HighwayLayer(transform, nn.ReLU(), gate), _image(3, 5).double()
    h, t = transform(x).relu(), gate(x).sigmoid()
    torch.testing.assert_close(layer(x), h * t + x * (1 - t))
    with torch.no_grad():
        gate.weight.zero_()
        gate.bias.fill_(-1000.0)
        assert torch.equal(layer(x), x)
        gate.bias.fill_(1000.0)
        assert torch.equal(layer(x), h)
    network = build(get_spec("cifar_highway19"))
    gates = [module.gate for module in network.modules() if isinstance(module, HighwayLayer) and module.gate]
    assert len(gates) == 4 + 5 + 5
    assert {value for each in gates for value in each.bias.tolist()} == {-2.0}


def test_row_003_degradation_is_of_the_training_error() -> None:
    """Errors that rise in training and validation alike give "yes"; a rise in validation alone would be overfitting."""
    study = get_study("degradation")
    arms = study.grid(StudyOptions(quick=True, depths=(20, 56)))
    assert [arm.label for arm in arms] == ["plain-20", "plain-56", "residual-20", "residual-56"]
    errors = {"plain-20": 0.20, "plain-56": 0.40, "residual-20": 0.18, "residual-56": 0.15}
    found = [result(arm, train=errors[arm.label], test=errors[arm.label] + 0.02) for arm in arms]
    verdict = study.conclude(results(arms, found)).verdict
    assert verdict.answer == "yes"
    assert verdict.numbers["plain"].value == pytest.approx(0.20)
    assert verdict.numbers["plain, test"].value == pytest.approx(0.20)
    assert verdict.numbers["residual"].value == pytest.approx(-0.03)
    overfitted = [result(arm, train=0.2, test=errors[arm.label]) for arm in arms]
    assert study.conclude(results(arms, overfitted)).verdict.answer == "undecided"


def test_row_005_subsampling_is_a_1x1_max_pool() -> None:
    """Factor 1 leaves the input as it is; factor 2 keeps every second pixel, also of odd sides."""
    first, middle, last = build(NARROW).layer1
    assert isinstance(last.downsample, nn.MaxPool2d)
    assert (last.downsample.kernel_size, last.downsample.stride) == (1, 2)
    for side in (8, 9):
        x = _image(2, 32, side, side)
        assert torch.equal(last.downsample(x), x[:, :, ::2, ::2])
    assert middle.downsample is None
    # Where the channels change, the shortcut is a convolution.
    assert isinstance(first.downsample[0], nn.Conv2d)


@pytest.mark.parametrize(("side", "before"), [(3, 1), (7, 3)])
def test_row_006_strided_convolutions_pad_explicitly(side: int, before: int) -> None:
    """side − 1 zeros, half of them before, whatever the size; TensorFlow's own SAME would shift the grid."""
    ours = conv2d(4, 6, side, stride=2, padding=SLIM.padding)
    for size in (16, 17):
        x = _image(1, 4, size, size)
        around = F.pad(x, (before, side - 1 - before) * 2)
        torch.testing.assert_close(ours(x), F.conv2d(around, ours.weight, stride=2))
        assert ours(x).shape[-1] == math.ceil(size / 2)
    same = conv2d(4, 6, side, stride=2, padding="same")
    same.load_state_dict(ours.state_dict())
    assert torch.allclose(same(x), ours(x), atol=1e-6)  # 17 pixels: both begin at the same place
    assert not torch.allclose(same(x[..., :16, :16]), ours(x[..., :16, :16]), atol=1e-3)


def test_row_007_units_are_stacked_under_their_scopes() -> None:
    """Blocks of 3, 4, 6 and 3 units, each end point under its scope, a block's behind its last unit's."""
    with torch.device("meta"), torch.no_grad():
        points = list(build(SLIM).eval().forward_intermediates(torch.empty(1, 3, 64, 64)))
    scope = "resnet_v2_50"
    units = [name for name in points if name.endswith("bottleneck_v2")]
    wanted = [
        f"{scope}/block{block}/unit_{unit}/bottleneck_v2"
        for block, count in enumerate((3, 4, 6, 3), 1)
        for unit in range(1, count + 1)
    ]
    assert units == wanted
    assert points.index(f"{scope}/block2") == points.index(f"{scope}/block2/unit_4/bottleneck_v2") + 1
    inside = [name.rpartition("/")[2] for name in points if "block1/unit_1/bottleneck_v2/" in name]
    assert inside == ["shortcut", "conv1", "conv2", "conv3"]


def test_row_008_pools_are_padded_as_same() -> None:
    """112 pixels give 56, the padding of −inf behind the image: windows begin at its first pixel."""
    pool = build(NARROW).maxpool
    x = -_image(1, 2, 112, 112).abs()
    found = pool(x)
    assert found.shape[-2:] == (56, 56)
    assert torch.equal(found[0, :, 0, 0], x[0, :, :3, :3].amax((1, 2)))
    assert torch.equal(found[0, :, -1, -1], x[0, :, 110:, 110:].amax((1, 2)))
    assert not torch.equal(found, max_pool2d(3, 2, "symmetric")(x))


def test_row_010_batch_norms_decay_and_epsilon() -> None:
    """Decay 0.997, epsilon 1e-5, with a gamma: what one batch does to the statistics, and to itself."""
    norms = [module for module in build(NARROW).modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 3 * 16 + 1
    assert {(norm.eps, norm.affine) for norm in norms} == {(1e-5, True)}
    norm, x = norms[0].train(), 3 * _image(4, 8, 8, 8) + 1
    found = norm(x)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, 0.003 * mean)
    torch.testing.assert_close(norm.running_var, 0.997 + 0.003 * variance)
    by_hand = (x - mean[:, None, None]) / (x.var((0, 2, 3), correction=0) + 1e-5).sqrt()[:, None, None]
    torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=1e-5)


def test_row_011_kernels_start_with_variance_2_over_fan_in() -> None:
    """Normal values cut at two deviations, so wide that the variance is 2 / (3·3·64); biases 0."""
    assert SLIM.init == "he_truncated"
    layer = nn.Conv2d(64, 512, 3)
    torch.manual_seed(0)
    initialise(layer, SLIM.init)
    deviation = math.sqrt(2 / (3 * 3 * 64))
    assert layer.weight.std().item() == pytest.approx(deviation, rel=0.01)
    assert layer.weight.abs().max().item() == pytest.approx(2 * deviation / 0.8796, rel=0.001)
    assert not layer.bias.any()


def test_row_012_only_kernels_decay() -> None:
    """53 convolutions and the logits decay, of 174 trainable variables: no bias, no gamma, no beta."""
    with torch.device("meta"):
        network = build(SLIM)
    decaying, spared = parameter_groups(network, Recipe(weight_decay=1e-4, decay_norm_and_bias=False))
    assert (decaying["weight_decay"], spared["weight_decay"]) == (1e-4, 0.0)
    assert (len(decaying["params"]), len(spared["params"])) == (54, 174 - 54)
    assert {parameter.ndim for parameter in decaying["params"]} == {4}


def test_row_014_training_mode_uses_the_batchs_statistics() -> None:
    """In training an image's output depends on its batch and statistics move; in evaluation neither."""
    network = build(get_spec("resnet50_v2_slim", depths=(1, 1, 1, 1), widths=(4, 4, 8, 8), stem_width=4))
    x = _image(4, 3, 64, 64)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        network.eval()
        torch.testing.assert_close(network(x)[:2], network(x[:2]))
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
        network.train()
        assert not torch.allclose(network(x)[:2], network(x[:2]), atol=1e-3)
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, state[name])}
    assert moved == {name for name in state if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}


@torch.no_grad()
def test_row_015_a_pre_activated_bottleneck_written_out() -> None:
    """BN-ReLU before each convolution; the shortcut's reads the activated input; biases where no norm follows."""
    network = build(NARROW).eval()
    unit = network.layer2[0]
    for module in unit.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x = _image(1, 32, 8, 8)
    active = unit.bn1(x).relu()
    y = unit.conv2(unit.bn2(unit.conv1(active)).relu())
    wanted = unit.conv3(unit.bn3(y).relu()) + unit.downsample[0](active)
    torch.testing.assert_close(unit(x.clone()), wanted)
    sides = [(conv.in_channels, conv.out_channels, conv.kernel_size) for conv in (unit.conv1, unit.conv2, unit.conv3)]
    assert sides == [(32, 16, (1, 1)), (16, 16, (3, 3)), (16, 64, (1, 1))]
    biased = {name.removesuffix(".bias") for name, module in network.named_parameters() if name.endswith(".bias")}
    biased = {name for name in biased if isinstance(network.get_submodule(name), nn.Conv2d)}
    own = {name for name, _ in network.named_modules() if name.endswith((".conv3", "downsample.0"))}
    assert biased == own | {"conv1", "fc"}
    assert len(biased) == 16 + 4 + 2
