"""Laws of the networks before the residual ones: normalisation, towers, gates, maps and how they start."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from peers.randomised import randomised
from residua.families.build import build
from residua.layers.highway import HighwayLayer
from residua.layers.norm import LocalResponseNorm
from residua.specs.catalog import get_spec

NARROW = {"hidden": 16, "num_classes": 5}


def _image(spec, size: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, spec.in_channels, size, size, generator=generator, dtype=torch.float64)


def _network(name: str, **edits):
    torch.manual_seed(0)
    return randomised(build(get_spec(name, **edits)))


def _shapes(name: str, **edits) -> dict[str, tuple[int, ...]]:
    spec = get_spec(name, **edits)
    with torch.device("meta"):
        network = build(spec).eval()
        image = torch.empty(1, spec.in_channels, spec.input_size, spec.input_size)
    return {key: tuple(value.shape[1:]) for key, value in network.forward_intermediates(image).items()}


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 7), st.floats(0, 1), st.floats(0.1, 2), st.floats(0.5, 3))
def test_lrn_is_the_papers_formula(channels: int, size: int, alpha: float, beta: float, k: float) -> None:
    x = torch.randn(2, channels, 3, 3, dtype=torch.float64)
    got = LocalResponseNorm(size, alpha, beta, k)(x)
    for c in range(channels):
        near = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        want = x[:, c] / (k + alpha * near.square().sum(1)) ** beta
        assert torch.allclose(got[:, c], want, rtol=1e-12)


def test_lrn_alpha_is_torchs_over_the_size() -> None:
    """Caffe and torch divide alpha by the size, the paper does not."""
    x = torch.randn(2, 8, 4, 4, dtype=torch.float64)
    theirs = nn.LocalResponseNorm(5, alpha=1e-1, beta=0.75, k=2.0)
    assert torch.allclose(LocalResponseNorm(5, 1e-1 / 5, 0.75, 2.0)(x), theirs(x), rtol=1e-12)
    assert not torch.allclose(LocalResponseNorm(5, 1e-1, 0.75, 2.0)(x), theirs(x), rtol=1e-3)


def test_the_paper_normalises_before_the_pool_and_caffenet_after() -> None:
    before, after = (_network("alexnet_2012", lrn=kind, **NARROW) for kind in ("before_pool", "after_pool"))
    after.load_state_dict(before.state_dict(), strict=True)
    names = [name for name, _ in before.parts()]
    assert names == ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2", "conv3", "conv4", "conv5", "pool5"]
    assert [name for name, _ in after.parts()][:6] == ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2"]
    image = 30 * _image(before.spec, 67)
    with torch.no_grad():
        assert not torch.allclose(before(image), after(image), rtol=1e-6)


@torch.no_grad()
def test_the_grouped_alexnet_is_two_towers() -> None:
    """Two halves that meet in the third convolution and in the fully connected layers alone (figure 2)."""
    network = _network("alexnet_2012", lrn="none", **NARROW)
    spec, points = network.spec, network.forward_intermediates(_image(network.spec, 67))

    def half(x: Tensor, index: int, side: int) -> Tensor:
        conv = network.features[index]
        weight, bias = conv.weight.chunk(2)[side], conv.bias.chunk(2)[side]
        return F.relu(F.conv2d(x, weight, bias, conv.stride, conv.padding))

    pooled = []
    for side in (0, 1):
        x = F.max_pool2d(half(_image(spec, 67), 0, side), 3, 2, ceil_mode=True)
        pooled.append(F.max_pool2d(half(x, 3, side), 3, 2, ceil_mode=True))
    assert torch.allclose(torch.cat(pooled, 1), points["pool2"], rtol=1e-10)
    x = points["conv3"].chunk(2, 1)
    last = torch.cat([half(half(x[side], 8, side), 10, side) for side in (0, 1)], 1)
    assert torch.allclose(last, points["conv5"], rtol=1e-10)
    whole = build(get_spec("alexnet_2012", groups=(1,) * 5, **NARROW))
    assert whole.features[3].weight.shape[1] == 2 * network.features[3].weight.shape[1]


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("alexnet", {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv5": 13, "pool5": 6}),
        ("alexnet_2012", {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv5": 13, "pool5": 6}),
        ("zfnet", {"conv1": 110, "pool1": 55, "conv2": 26, "pool2": 13, "conv3": 13, "conv5": 13, "pool5": 6}),
        ("nin", {"conv1": 54, "pool1": 27, "pool2": 13, "pool3": 6, "cccp8": 6}),
        ("cifar_nin", {"conv1": 32, "pool1": 16, "pool2": 8, "cccp6": 8}),
        ("vgg16", {"conv1_2": 224, "pool1": 112, "pool2": 56, "pool3": 28, "conv4_3": 28, "pool5": 7}),
        ("cifar_highway19", {"conv5": 32, "pool1": 16, "conv11": 16, "pool2": 8, "conv18": 8}),
    ],
)
def test_maps_are_the_published_ones(name: str, sides: dict[str, int]) -> None:
    shapes = _shapes(name)
    assert {point: shapes[point][1:] for point in sides} == {point: (side, side) for point, side in sides.items()}
    assert shapes["logits"] == (get_spec(name).num_classes,)


def test_224_with_padding_2_has_the_maps_of_227() -> None:
    assert _shapes("alexnet_2012") == _shapes("alexnet_2012", input_size=224, paddings=(2, 2, 1, 1, 1))


@pytest.mark.parametrize("name", ["alexnet", "alexnet_2012", "vgg11_bn"])
@torch.no_grad()
def test_fc6_and_fc7_are_end_points(name: str) -> None:
    network = _network(name, hidden=16, num_classes=5)
    points = network.forward_intermediates(_image(network.spec, 96))
    assert list(points)[-3:] == ["fc6", "fc7", "logits"]
    assert points["fc6"].shape == points["fc7"].shape == (2, 16)
    assert points["fc6"].min() >= 0
    assert torch.equal(network.classifier[6](points["fc7"]), points["logits"])


@pytest.mark.parametrize(("name", "sites"), [("alexnet", [0, 3]), ("alexnet_2012", [3, 5])])
def test_dropout_stands_before_or_after_its_layers(name: str, sites: list[int]) -> None:
    classifier = build(get_spec(name, **NARROW)).classifier
    assert sites == [i for i, layer in enumerate(classifier) if any(isinstance(m, nn.Dropout) for m in layer.modules())]


def test_alexnet_starts_as_in_its_paper() -> None:
    network = build(get_spec("alexnet_2012", hidden=256))
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert [layer.bias.unique().tolist() for layer in layers] == [[0], [1], [0], [1], [1], [1], [1], [0]]
    for layer in layers:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert abs(layer.weight.mean().item()) < 1e-3


def test_nin_starts_as_its_files_say() -> None:
    network = build(get_spec("nin"))
    stds = {name: layer.weight.std().item() for name, layer in network.named_children() if isinstance(layer, nn.Conv2d)}
    small = {"conv1", "conv3", "cccp8"}
    assert {name for name, std in stds.items() if std == pytest.approx(0.01, rel=0.05)} == small
    assert all(std == pytest.approx(0.05, rel=0.05) for name, std in stds.items() if name not in small)
    assert not any(layer.bias.any() for layer in network.children() if isinstance(layer, nn.Conv2d))


def test_nin_drops_behind_its_pools_and_averages_to_logits() -> None:
    for name, pools in (("nin", {"pool3"}), ("cifar_nin", {"pool1", "pool2"})):
        network = build(get_spec(name, dropout=0.9))
        image = torch.rand(2, 3, 64, 64)
        dropped, x = set(), image
        for point, part in network.parts():
            x = part(x.clone())
            dropped |= {point} if point.startswith("pool") and (x == 0).double().mean() > 0.8 else set()
        assert dropped == pools
    network = _network("cifar_nin", pools=("max", "avg"))
    points = network.forward_intermediates(_image(network.spec, 32))
    assert torch.allclose(points["logits"], points["cccp6"].mean((2, 3)), rtol=1e-12)
    assert torch.allclose(points["pool2"], F.avg_pool2d(points["cccp4"], 3, 2, ceil_mode=True), rtol=1e-12)


HIGHWAYS = [("cifar_highway19", 32), ("cifar_highway32", 32), ("highway_mlp20", 28)]


@pytest.mark.parametrize(("name", "size"), HIGHWAYS)
@torch.no_grad()
def test_gates_carry_or_transform(name: str, size: int) -> None:
    """T -> 0: every gated layer is the identity. T -> 1: the network is the plain one, with the same weights."""
    network = _network(name)
    plain = build(get_spec(name, gates=False)).double().eval()
    own = plain.state_dict().keys()
    plain.load_state_dict({key: value for key, value in network.state_dict().items() if key in own}, strict=True)
    assert {key for key in network.state_dict() if key not in own} == {k for k in network.state_dict() if "gate" in k}
    gated = [(point, layer) for point, layer in network.named_children() if getattr(layer, "gate", None) is not None]
    assert len(gated) == {"cifar_highway19": 14, "cifar_highway32": 27, "highway_mlp20": 19}[name]
    for value in (-1e4, 1e4):
        for _, layer in gated:
            layer.gate.weight.zero_()
            layer.gate.bias.fill_(value)
        points = network.forward_intermediates(_image(network.spec, size))
        names = list(points)
        if value < 0:
            for point, _ in gated:
                assert torch.equal(points[point], points[names[names.index(point) - 1]]), point
        else:
            assert torch.equal(points["logits"], plain(_image(network.spec, size)))


@pytest.mark.parametrize(("name", "size"), HIGHWAYS)
def test_gates_start_at_their_bias_and_everything_learns(name: str, size: int) -> None:
    torch.manual_seed(0)
    network = build(get_spec(name, transform_bias=-3.0)).double()
    layers = [layer for layer in network.modules() if isinstance(layer, HighwayLayer)]
    assert {bias for layer in layers if layer.gate for bias in layer.gate.bias.tolist()} == {-3.0}
    assert not any(layer.transform.bias.any() for layer in layers)
    network(_image(network.spec, size, 8)).square().mean().backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
def test_a_highway_layer_is_its_equation() -> None:
    layer = HighwayLayer(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    gate = torch.sigmoid(layer.gate(x))
    assert torch.allclose(layer(x), gate * torch.tanh(layer.transform(x)) + (1 - gate) * x, rtol=1e-12)


def test_fields_of_the_highways_reach_the_network() -> None:
    convs = [layer.transform for layer in build(get_spec("cifar_highway32")).children() if hasattr(layer, "transform")]
    assert [conv.kernel_size[0] for conv in convs[:10]] == [3, 3, 1, 3, 1, 3, 1, 3, 1, 3]
    tanh = build(get_spec("highway_mlp10", activation="tanh"))
    assert isinstance(tanh.layer2.activation, nn.Tanh)
    assert get_spec("highway_mlp100").transform_bias == -4
    assert get_spec("highway_mlp1000").transform_bias == -8


def test_1000_layers_learn_and_are_a_value() -> None:
    """A training step in which the first layer's gradient survives; deepcopy and pickle."""
    torch.manual_seed(0)
    network = build(get_spec("highway_mlp1000"))
    image = torch.randn(4, 1, 28, 28)
    F.cross_entropy(network(image), torch.arange(4)).backward()
    assert network.layer1.transform.weight.grad.norm() > 1e-3
    torch.optim.SGD(network.parameters(), 0.01).step()
    with torch.no_grad():
        want = network.eval()(image)
        assert want.isfinite().all()
        assert torch.equal(copy.deepcopy(network)(image), want)
        assert torch.equal(pickle.loads(pickle.dumps(network))(image), want)


def test_200_layers_export() -> None:
    """So do 1,000, in a minute."""
    network = build(get_spec("highway_mlp200")).eval()
    image = torch.randn(4, 1, 28, 28)
    exported = torch.export.export(network, (image,)).module()
    with torch.no_grad():
        assert torch.allclose(exported(image), network(image), rtol=1e-5)


@pytest.mark.parametrize("name", ["vgg11", "cifar_nin", "cifar_highway19"])
def test_gradients_are_true(name: str) -> None:
    """In-place activations and the fused gate spoil no gradient: autograd agrees with finite differences."""
    edits = {
        "vgg11": {"widths": (2, 2, 3, 3, 3), "hidden": 4, "grid": 1},
        "cifar_nin": {"widths": ((4, 3, 3), (3, 3, 3), (3, 3))},
        "cifar_highway19": {"depths": (1, 1, 1), "widths": (3, 4, 4), "head_width": 3},
    }[name]
    network = _network(name, num_classes=2, **edits)
    size = 32 if name == "vgg11" else 12
    assert torch.autograd.gradcheck(network, _image(network.spec, size, 1).requires_grad_(), fast_mode=True)
