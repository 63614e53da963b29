"""Laws of Inception-v4 and Inception-ResNet-v2: scaled residuals, auxiliary heads, end points, weights at the start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from peers.randomised import randomised
from residua.anatomy.cost import cost
from residua.families.build import build
from residua.families.network import AuxLogits
from residua.layers.inception import ShiftBatchNorm2d
from residua.layers.mixed import draw_truncated
from residua.specs.catalog import get_spec

NAMES = ("inception_v4", "inception_resnet_v2")
SMALL = {"inception_v4": {"depths": (1, 1, 1)}, "inception_resnet_v2": {"depths": (1, 1, 2)}}
# The record's names of the forms that an edit of the row gives.
SLIM = {"aux_heads": True, "bn_scale": False, "num_classes": 1001}
PAPER = {"depths": (5, 10, 5), "stem": "v4", "last_width": 0, "last_scale": 0.2, "last_relu": True}


def _image(size: int = 75, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, size, size, generator=generator, dtype=torch.float64)


def _small(name: str, **edits: object):
    torch.manual_seed(0)
    return build(get_spec(name, **SMALL[name], num_classes=5, **edits)).double()


@torch.no_grad()
def test_without_residuals_each_module_is_the_relu_of_its_input() -> None:
    """With every scale 0 a module is ReLU, the identity on what is not negative; the last one, without ReLU, on all."""
    edits = {"residual_scales": (0.0, 0.0, 0.0), "last_scale": 0.0}
    network = randomised(build(get_spec("inception_resnet_v2", depths=(2, 2, 3), num_classes=5, **edits)))
    for unit in network.units():
        x = torch.randn(2, unit.conv2d.out_channels, 3, 3, dtype=torch.float64)
        assert torch.equal(unit(x), x.relu() if unit.activated else x)
        assert torch.equal(unit(x.abs()), x.abs())
    points = network.forward_intermediates(_image())
    assert torch.equal(points["Repeat"], points["Mixed_5b"])
    assert torch.equal(points["PreAuxLogits"], points["Mixed_6a"])
    assert torch.equal(points["Block8"], points["Mixed_7a"])


@torch.no_grad()
def test_the_scale_multiplies_the_residual_alone() -> None:
    network = randomised(build(get_spec("inception_resnet_v2", depths=(1, 1, 2), num_classes=5)))
    scales = [(unit.scale, unit.activated) for unit in network.units()]
    assert scales == [(0.17, True), (0.10, True), (0.20, True), (1.0, False)]
    unit = network.block8
    x = torch.randn(1, 2080, 2, 2, dtype=torch.float64)
    residual = unit(x) - x
    unit.scale = 0.5
    assert torch.allclose(unit(x) - x, residual / 2, atol=1e-12)


def test_end_points_are_slims() -> None:
    with torch.device("meta"):
        four, residual = (build(get_spec(name)) for name in NAMES)
        paper = build(get_spec("inception_resnet_v2", **PAPER))
    wanted = "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Mixed_3a Mixed_4a Mixed_5a Mixed_5b Mixed_5c Mixed_5d Mixed_5e"
    wanted += " Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_6f Mixed_6g Mixed_6h Mixed_7a Mixed_7b Mixed_7c"
    assert [name for name, _ in four.parts()] == [*wanted.split(), "Mixed_7d"]
    wanted = "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 MaxPool_3a_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3 MaxPool_5a_3x3"
    wanted += " Mixed_5b Repeat Mixed_6a PreAuxLogits Mixed_7a Repeat_2 Block8 Conv2d_7b_1x1"
    assert [name for name, _ in residual.parts()] == wanted.split()
    assert [name for name, _ in paper.parts()][3:6] == ["Mixed_3a", "Mixed_4a", "Mixed_5a"]


# Channels and sides that slim's comments and the paper's figures 9 and 15 print, at 299 pixels.
SHAPES = {
    "inception_v4": {
        "Conv2d_1a_3x3": (32, 149),
        "Conv2d_2b_3x3": (64, 147),
        "Mixed_3a": (160, 73),
        "Mixed_4a": (192, 71),
        "Mixed_5a": (384, 35),
        "Mixed_5e": (384, 35),
        "Mixed_6a": (1024, 17),
        "Mixed_6h": (1024, 17),
        "Mixed_7a": (1536, 8),
        "Mixed_7d": (1536, 8),
    },
    "inception_resnet_v2": {
        "MaxPool_3a_3x3": (64, 73),
        "Conv2d_4a_3x3": (192, 71),
        "MaxPool_5a_3x3": (192, 35),
        "Mixed_5b": (320, 35),
        "PreAuxLogits": (1088, 17),
        "Mixed_7a": (2080, 8),
        "Conv2d_7b_1x1": (1536, 8),
    },
}


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_shapes_are_the_published(name: str) -> None:
    with torch.device("meta"):
        points = build(get_spec(name)).eval().forward_intermediates(torch.empty(1, 3, 299, 299))
    assert {point: (points[point].shape[1], points[point].shape[2]) for point in SHAPES[name]} == SHAPES[name]


@pytest.mark.parametrize("name", NAMES)
def test_auxiliary_heads_belong_to_training(name: str) -> None:
    network = _small(name, aux_heads=True)
    out = network(_image())
    assert isinstance(out, AuxLogits)
    assert [logits.shape for logits in (out.logits, *out.aux)] == [(2, 5)] * 2
    (out.logits.square().mean() + network.spec.aux_weight * out.aux[0].square().mean()).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert network.eval()(_image()).shape == (2, 5)
    assert not any(key.startswith("AuxLogits") for key in _small(name).state_dict())


def test_the_auxiliary_head_sees_five_by_five_at_the_published_size() -> None:
    """slim's is as large as its 5×5 map at 299 pixels; the head reads 17×17."""
    for name, channels in (("inception_v4", 1024), ("inception_resnet_v2", 1088)):
        head = _small(name, aux_heads=True).AuxLogits.eval()
        seen = []
        head.conv1.register_forward_hook(lambda _, args, out, seen=seen: seen.append((args[0].shape, out.shape)))
        head(torch.randn(1, channels, 17, 17, dtype=torch.float64))
        assert seen == [((1, 128, 5, 5), (1, 768, 1, 1))]


@pytest.mark.parametrize(
    ("name", "edits", "params", "macs"),
    [
        # tests/reference/architectures.json counts the auxiliary head's work too, which evaluation leaves out.
        ("inception_v4", SLIM, 46009106, 12260479328),
        ("inception_resnet_v2", SLIM, 59182258, 13162503520),
    ],
)
@torch.no_grad()
def test_slims_released_form(name: str, edits: dict, params: int, macs: int) -> None:
    with torch.device("meta"):
        network, image = build(get_spec(name, **edits)), torch.empty(2, 3, 299, 299)
        with FlopCounterMode(display=False) as counter:
            network.train()(image)
    assert sum(parameter.numel() for parameter in network.parameters()) == params
    assert counter.get_total_flops() // 4 == macs
    assert cost(get_spec(name, **edits)).macs < macs


@pytest.mark.parametrize("name", NAMES)
def test_without_gamma_no_scale_is_learnt(name: str) -> None:
    network = _small(name, bn_scale=False)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert all(isinstance(norm, ShiftBatchNorm2d) and norm.weight is None for norm in norms)
    assert not any(key.endswith("bn.weight") for key in network.state_dict())
    network(_image()).square().mean().backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_weights_start_as_slims() -> None:
    torch.manual_seed(0)
    four = build(get_spec("inception_v4", num_classes=100))
    for key in ("10.branch0", "11.branch2.4", "18.branch1.3"):
        weight = four.features.get_submodule(key).conv.weight
        deviation = math.sqrt(2 / weight[0].numel())
        assert math.isclose(weight.std().item(), deviation, rel_tol=0.01)
        assert weight.abs().max().item() <= 2 * math.sqrt(1.3) * deviation
    residual = build(get_spec("inception_resnet_v2", num_classes=100))
    for weight in (residual.mixed_7a.branch1[1].conv.weight, residual.block8.conv2d.weight, residual.classif.weight):
        fans = weight[0].numel() + weight[:, 0].numel()
        assert math.isclose(weight.std().item(), math.sqrt(2 / fans), rel_tol=0.02)
        assert weight.abs().max().item() <= math.sqrt(6 / fans)
    for network in (four, residual):
        biases = [(key, p) for key, p in network.named_parameters() if key.endswith("bias")]
        assert not any(bias.any() for _, bias in biases)


def test_the_truncated_normal_is_one() -> None:
    """Quantiles of a normal distribution cut at two deviations, against drawing and redrawing what falls outside."""
    torch.manual_seed(0)
    ours, theirs = torch.empty(400_000), torch.empty(400_000)
    draw_truncated(ours, 1 / 1.3)
    nn.init.trunc_normal_(theirs, a=-2, b=2)
    levels = torch.linspace(0.01, 0.99, 25)
    assert torch.allclose(ours.quantile(levels), theirs.quantile(levels), atol=0.01)
    assert ours.abs().max() <= 2.0001


def test_modules_beyond_the_alphabet_have_names() -> None:
    with torch.device("meta"):
        names = [name for name, _ in build(get_spec("inception_v4", depths=(1, 27, 1))).parts()]
    assert len(set(names)) == len(names)
    assert {"Mixed_6z", "Mixed_6_26", "Mixed_6_27"} <= set(names)
