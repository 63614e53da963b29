"""Two routes to one result: laws that every residual network obeys, whatever its weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from peers.randomised import randomised
from residua.families.build import build
from residua.layers.conv import SameConv2d, ZeroPadMaxPool2d, max_pool2d
from residua.layers.shortcut import PadShortcut
from residua.specs.catalog import get_spec
from residua.specs.resnet import ResNetSpec

ORDERS = ("post", "bn_after_add", "relu_before_add", "relu_only_pre", "full_pre")
GATES = ("none", "constant", "exclusive", "shortcut_only", "dropout", "independent")
SHORTCUTS = ("none", "pad", "pad_both", "projection", "projection_all", "max_pool")
# One network of each kind keeps the sweep short; the catalog's other rows differ in depth and width alone. Those with
# fields of their own are tested with few units a stage.
KINDS = ["plain18", "resnet18", "resnet50_v1", "resnet18_v2", "resnext50_32x4d", "seresnet50_v1"]
KINDS += [
    "cifar_resnet20",
    "cifar_resnet20_v2",
    "cifar_resnet29_v2_bottleneck",
    "cifar_wrn16_2",
    "cifar_seresnet20",
]
SHALLOW = ["resnet50_v2_slim", "resnet50_keras", "resnet50_v2_keras", "senet154"]
KINDS += [*SHALLOW, "cifar_resnet20_keras", "cifar_resnet11_v2_keras"]


def _spec(name: str) -> ResNetSpec:
    return get_spec(name, depths=(1, 2, 1, 1)) if name in SHALLOW else get_spec(name)


def _image(size: int = 32, batch: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, size, size, generator=generator, dtype=torch.float64)


def _network(spec: ResNetSpec, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return randomised(build(spec), seed)


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


@pytest.mark.parametrize("name", ["resnet18", "resnet50_v1", "resnet50_v2_slim", "resnet50_keras", "senet154"])
def test_plain_is_residual_without_shortcuts(name: str) -> None:
    with torch.device("meta"):
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


@pytest.mark.parametrize("name", ["resnet50_v2_slim", "resnet50_v2_keras", "cifar_resnet29_v2_keras"])
@torch.no_grad()
def test_zeroed_branches_leave_slims_and_keras_identity(name: str) -> None:
    """Inside a stage only the first unit's projection and the last one's subsampling are left."""
    network = _network(get_spec(name))
    for unit in network.units():
        for parameter in unit.conv3.parameters():
            parameter.zero_()
    names = [key for key, _ in network.parts()]
    points = dict(zip(names, _through_parts(network, _image(64)), strict=True))
    first, second, third = names[-len([*network.units()]) - 1 :][:3]
    assert torch.equal(points[second], points[first])
    assert torch.equal(points[third], points[first][:, :, ::2, ::2] if name.startswith("resnet") else points[first])


def _through_parts(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for _, part in network.parts():
        x = part(x.clone())
        found.append(x)
    return found


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
def test_parts_make_the_whole(name: str) -> None:
    network = _network(_spec(name))
    image = _image(64)
    points = network.forward_intermediates(image)
    assert torch.equal(points["logits"], network(image))
    assert torch.equal(network.forward_head(network.forward_features(image)), network(image))
    assert [*points][:1] == [network.parts()[0][0]]
    assert {name for name, _ in network.parts()} | {"logits"} <= points.keys()
    if network.spec.end_points == "torchvision":
        assert next(iter(points)) == "stem"
        assert len(points) == 3 + sum(network.spec.depths)
    assert all(point.isfinite().all() for point in points.values())


@torch.no_grad()
def test_a_point_is_what_its_layers_give() -> None:
    """Inside a slim unit: each point from the one before, by the layers between; nothing is kept that later changed."""
    network = _network(_spec("resnet50_v2_slim"))
    points = network.forward_intermediates(_image(64))
    scope, unit = "resnet_v2_17/block1/unit_1/bottleneck_v2", network.layer1[0]
    pooled = points["resnet_v2_17/pool1"]
    active = unit.bn1(pooled).relu()
    one = unit.bn2(unit.conv1(active)).relu()
    two = unit.bn3(unit.conv2(one)).relu()
    three, shortcut = unit.conv3(two), unit.downsample(active)
    for name, want in {"conv1": one, "conv2": two, "conv3": three, "shortcut": shortcut}.items():
        assert torch.equal(points[f"{scope}/{name}"], want), name
    assert torch.equal(points[scope], three + shortcut)
    assert torch.equal(points["resnet_v2_17/block4"], points["resnet_v2_17/block4/unit_1/bottleneck_v2"])
    assert torch.equal(points["predictions"], network(_image(64)).softmax(1))


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
    assert torch.equal(same, max_pool2d(3, 2, "ceil")(x))
    assert not torch.equal(same, symmetric)
    odd = -torch.rand(1, 1, 9, 9) - 0.1
    sizes = [max_pool2d(3, 2, kind)(odd).shape[-1] for kind in ("symmetric", "zero", "same", "ceil")]
    assert sizes == [5, 5, 5, 4]
    assert isinstance(max_pool2d(3, 2, "zero"), ZeroPadMaxPool2d)


def test_a_pre_activated_network_may_lack_its_last_norm() -> None:
    """Widely copied code pools the un-activated sum (reference surprise 8)."""
    spec = get_spec("cifar_resnet20_v2", final_norm=False)
    network = _network(spec)
    assert {*build(get_spec("cifar_resnet20_v2")).state_dict()} - {*network.state_dict()} == {
        f"norm.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    with torch.no_grad():
        points = network.forward_intermediates(_image())
    assert torch.equal(points["features"], points["layer3.2"])
    assert points["features"].lt(0).any()


@pytest.mark.parametrize(
    ("init", "variance", "classifier"),
    [
        ("he_fan_out", 2 / (64 * 9), None),
        ("he_truncated", 2 / (32 * 9), 2 / 64),
        ("glorot_uniform", 2 / (96 * 9), 2 / 74),
    ],
)
def test_initialisers_have_their_variance(init: str, variance: float, classifier: float | None) -> None:
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet20_keras", init=init))
    weight = network.layer3[0].conv1.weight
    assert weight.var().item() == pytest.approx(variance, rel=0.05)
    if init == "he_truncated":
        assert weight.abs().max().item() <= 2 * (variance**0.5) / 0.8796 + 1e-6
    if init == "glorot_uniform":
        assert weight.abs().max().item() <= (3 * variance) ** 0.5
    if classifier:
        assert network.fc.weight.var().item() == pytest.approx(classifier, rel=0.15)
        assert not network.fc.bias.any()
    assert not any(conv.bias.any() for conv in network.modules() if isinstance(conv, nn.Conv2d))


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
