"""Two routes to one result: laws that every residual network obeys, whatever its weights."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from peers.randomised import randomised
from residua.families.build import build
from residua.layers.conv import SameConv2d, ZeroPadMaxPool2d, max_pool2d
from residua.layers.shortcut import PadShortcut
from residua.specs.catalog import get_spec, list_models
from residua.specs.resnet import ResNetSpec
from residua.specs.schema import from_json, to_json

ORDERS = ("post", "bn_after_add", "relu_before_add", "relu_only_pre", "full_pre")
GATES = ("none", "constant", "exclusive", "shortcut_only", "dropout")
SHORTCUTS = ("none", "pad", "pad_both", "projection", "projection_all", "max_pool")
# One network of each kind keeps the sweep short; the catalog's other rows differ in depth and width alone.
KINDS = ["plain18", "resnet18", "resnet50_v1", "resnet18_v2", "resnext50_32x4d", "seresnet50_v1"]
KINDS += [
    "cifar_resnet20",
    "cifar_resnet20_v2",
    "cifar_resnet29_v2_bottleneck",
    "cifar_wrn16_2",
    "cifar_seresnet20",
]


def _image(size: int = 32, batch: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, size, size, generator=generator, dtype=torch.float64)


def _network(spec: ResNetSpec, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return randomised(build(spec), seed)


@pytest.mark.parametrize("name", list_models())
def test_spec_survives_json(name: str) -> None:
    assert from_json(to_json(get_spec(name))) == get_spec(name)


@pytest.mark.parametrize("activation", ["full_pre", "relu_only_pre", "relu_before_add"])
@torch.no_grad()
def test_zeroed_branches_leave_the_identity(activation: str) -> None:
    """With every branch zero, a clean shortcut path carries the stem's output to the end of a stage untouched."""
    network = _network(get_spec("cifar_resnet20_v2", activation=activation))
    for unit in network.units():
        last = unit.conv2 if activation == "full_pre" else unit.bn2
        for parameter in last.parameters():
            parameter.zero_()
    points = network.forward_intermediates(_image())
    assert torch.equal(points["layer1.2"], points["stem"])
    expected = points["stem"][:, :, ::2, ::2]
    assert torch.equal(points["layer2.2"][:, :16], expected)
    assert not points["layer2.2"][:, 16:].any()


@pytest.mark.parametrize("name", ["resnet18", "resnet50_v1"])
def test_plain_is_residual_without_shortcuts(name: str) -> None:
    residual, plain = build(get_spec(name)), build(get_spec(name, shortcut="none"))
    own = {k: v.shape for k, v in plain.state_dict().items()}
    assert own == {k: v.shape for k, v in residual.state_dict().items() if "downsample" not in k}


@pytest.mark.parametrize("activation", ["post", "full_pre"])
@torch.no_grad()
def test_stride_in_the_last_unit_equals_stride_in_the_next_first_1x1(activation: str) -> None:
    """TF-slim's placement computes He's function: what lies between is element-wise or 1×1."""
    fields = {"activation": activation, "num_classes": 7}
    he = _network(get_spec("resnet50", stride_site="first_1x1", **fields))
    slim = build(get_spec("resnet50", stride_site="last_3x3", shortcut="max_pool", **fields)).double().eval()
    slim.load_state_dict(he.state_dict(), strict=True)
    for size in (64, 75):
        want, got = he(_image(size)), slim(_image(size))
        assert ((want - got).abs().max() / want.abs().max()).item() < 1e-12


@torch.no_grad()
def test_constant_scaling_by_one_is_the_sum() -> None:
    network = _network(get_spec("cifar_resnet20"))
    scaled = build(get_spec("cifar_resnet20", gate="constant")).double().eval()
    scaled.load_state_dict(network.state_dict(), strict=True)
    assert torch.equal(network(_image()), scaled(_image()))


@torch.no_grad()
def test_a_closed_gate_is_the_shortcut() -> None:
    """Exclusive gating with g -> 0 carries the shortcut alone."""
    network = _network(get_spec("cifar_resnet20_v2", gate="exclusive"))
    for unit in network.units():
        unit.join.conv.weight.zero_()
        unit.join.conv.bias.fill_(-800.0)
    points = network.forward_intermediates(_image())
    assert torch.equal(points["layer1.2"], points["stem"])


def test_gates_start_at_their_bias() -> None:
    network = build(get_spec("cifar_resnet20", gate="shortcut_only", gate_bias=-3.0))
    assert {bias for unit in network.units() for bias in unit.join.conv.bias.tolist()} == {-3.0}


@pytest.mark.parametrize("activation", ORDERS)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_every_order_meets_every_shortcut_and_learns(activation: str, shortcut: str) -> None:
    """Forward, backward, and every parameter gets a gradient: nothing is built that the forward pass leaves out."""
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet8", activation=activation, shortcut=shortcut)).double()
    network(_image(16)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("unit", ["basic", "bottleneck"])
def test_every_gate_learns(gate: str, unit: str) -> None:
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet8", gate=gate, gate_bias=0.0, unit=unit, dropout=0.2)).double()
    network(_image(16)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("activation", ORDERS)
def test_gradients_are_true(activation: str) -> None:
    """In-place sums and activations spoil no gradient: autograd agrees with finite differences."""
    torch.manual_seed(0)
    spec = get_spec("cifar_resnet8", activation=activation, widths=(4, 8, 8), stem_width=4, num_classes=2)
    network = randomised(build(spec))
    assert torch.autograd.gradcheck(network, _image(8, 1).requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_a_network_is_a_value(name: str) -> None:
    """deepcopy, pickle and a state dict give the same logits; eval mode does not depend on the batch's size."""
    network = _network(get_spec(name))
    image = _image(64 if get_spec(name).input_size > 32 else 32, batch=3)
    want = network(image)
    buffer = io.BytesIO()
    torch.save(network, buffer)
    buffer.seek(0)
    for copied in (
        copy.deepcopy(network),
        pickle.loads(pickle.dumps(network)),
        torch.load(buffer, weights_only=False),
    ):
        assert torch.equal(copied(image), want)
    rebuilt = build(from_json(to_json(network.spec))).double().eval()
    rebuilt.load_state_dict(network.state_dict(), strict=True)
    assert torch.equal(rebuilt(image), want)
    alone = torch.cat([network(image[i : i + 1]) for i in range(3)])
    assert torch.allclose(alone, want, rtol=1e-10, atol=1e-10)
    last = network.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(last, want, rtol=1e-10, atol=1e-10)
    assert network.bfloat16()(image.bfloat16()).isfinite().all()


@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_parts_make_the_whole(name: str) -> None:
    network = _network(get_spec(name))
    image = _image(64)
    points = network.forward_intermediates(image)
    assert torch.equal(points["logits"], network(image))
    assert torch.equal(network.forward_head(network.forward_features(image)), network(image))
    assert next(iter(points)) == "stem"
    assert len(points) == 3 + sum(network.spec.depths)
    assert all(point.isfinite().all() for point in points.values())


@pytest.mark.parametrize("name", ["cifar_resnet20", "resnet18_v2", "seresnet50"])
def test_export_takes_it(name: str) -> None:
    network = _network(get_spec(name))
    image = _image(64)
    exported = torch.export.export(network, (image,)).module()
    assert torch.allclose(exported(image), network(image), rtol=1e-10)


def test_1202_layers_take_a_training_step() -> None:
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet1202"))
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    before = network.conv1.weight.detach().clone()
    loss = nn.functional.cross_entropy(network(torch.randn(2, 3, 8, 8)), torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    assert not torch.equal(before, network.conv1.weight)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(0, 5), st.integers(1, 3), st.integers(5, 12))
def test_option_a_pads_channels_and_keeps_values(channels: int, new: int, stride: int, size: int) -> None:
    x = torch.randn(2, channels, size, size)
    appended = PadShortcut(channels, channels + new, stride, both_sides=False)(x)
    centred = PadShortcut(channels, channels + new, stride, both_sides=True)(x)
    kept = x[:, :, ::stride, ::stride]
    assert torch.equal(appended[:, :channels], kept)
    assert not appended[:, channels:].any()
    assert torch.equal(centred[:, new // 2 : new // 2 + channels], kept)
    assert torch.isclose(centred.abs().sum(), kept.abs().sum())


def test_pools_differ_where_the_values_are_negative() -> None:
    """The three paddings of the first pool: −inf on both sides, zeros, −inf after (reference surprise 2)."""
    x = -torch.rand(1, 1, 8, 8) - 0.1
    symmetric, zero, same = (max_pool2d(3, 2, kind)(x) for kind in ("symmetric", "zero", "same"))
    assert symmetric.shape == zero.shape == same.shape == (1, 1, 4, 4)
    assert zero[0, 0, 0].eq(0).all()
    assert symmetric.lt(0).all()
    caffe = nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)(x)
    assert torch.equal(same, caffe)
    assert not torch.equal(same, symmetric)
    assert isinstance(max_pool2d(3, 2, "zero"), ZeroPadMaxPool2d)


def test_same_padding_puts_the_odd_pixel_after() -> None:
    conv = SameConv2d(1, 1, 3, 2, bias=False)
    x = torch.randn(1, 1, 8, 8)
    want = nn.functional.conv2d(nn.functional.pad(x, (0, 1, 0, 1)), conv.weight, stride=2)
    assert torch.equal(conv(x), want)
    assert conv(torch.randn(1, 1, 7, 7)).shape[-1] == 4


@pytest.mark.parametrize("activation", ["post", "relu_only_pre"])
def test_zero_init_starts_as_the_shortcut_and_learns(activation: str) -> None:
    """At the start a unit is its shortcut, and the zeros get gradients."""
    model = build(get_spec("cifar_resnet8", activation=activation, zero_init_last_bn=True))
    x = torch.rand(2, 16, 8, 8)
    assert torch.equal(model.layer1[0](x.clone()), x)
    model(torch.randn(4, 3, 16, 16)).square().mean().backward()
    for unit in model.units():
        assert unit.bn2.weight.grad.abs().max() > 0
