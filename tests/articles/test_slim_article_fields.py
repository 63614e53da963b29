"""What the slim article names and fields of a spec express, beside an independent reading of it: one test a row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.randomised import randomised
from residua.anatomy import inspect
from residua.families.build import build
from residua.layers.highway import HighwayLayer
from residua.specs.catalog import get_spec
from residua.weights.create import create_model

Block = Sequence[tuple[int, int, int]]
# Of the article's form, few and narrow; the stride of 3 is the other article's.
BLOCKS: tuple[Block, ...] = ([(32, 8, 1)] * 2 + [(32, 8, 3)], [(48, 12, 1)] * 2 + [(48, 12, 2)], [(64, 16, 1)])


def _article(state: dict[str, Tensor], x: Tensor, blocks: Sequence[Block], *, root: str = "SAME") -> Tensor:
    """Return the features, postnorm included, as the article computes them. `root`: padding of the pool; "": none."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, gamma, beta = (state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, mean, var, gamma, beta, eps=1e-5))

    def conv_same(x: Tensor, name: str, side: int, stride: int, bias: bool = False) -> Tensor:
        before = (side - 1) // 2
        padded = F.pad(x, (before, side - 1 - before, before, side - 1 - before))
        return F.conv2d(padded, state[f"{name}.weight"], state[f"{name}.bias"] if bias else None, stride)

    if root:
        x = conv_same(x, "conv1", 7, 2, bias=True)
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf) if root == "SAME" else x, 3, 2)
    for stage, block in enumerate(blocks, 1):
        for index, (depth, _, stride) in enumerate(block):
            unit = f"layer{stage}.{index}"
            preact = norm(x, f"{unit}.bn1")
            if depth == x.shape[1]:
                shortcut = x[:, :, ::stride, ::stride]
            else:
                shortcut = conv_same(preact, f"{unit}.downsample.0", 1, stride, bias=True)
            y = norm(conv_same(preact, f"{unit}.conv1", 1, 1), f"{unit}.bn2")
            y = norm(conv_same(y, f"{unit}.conv2", 3, stride), f"{unit}.bn3")
            x = shortcut + conv_same(y, f"{unit}.conv3", 1, 1, bias=True)
    return norm(x, "norm")


def _network(units: Sequence[Block] = BLOCKS, **edits: object) -> nn.Module:
    torch.manual_seed(0)
    return randomised(build(get_spec("resnet50_v2_slim", num_classes=5, units=units, **edits)))


def _image(side: int = 96, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _logits(network: nn.Module, features: Tensor) -> Tensor:
    return F.conv2d(features, network.fc.weight, network.fc.bias)


@torch.no_grad()
def test_row_02_a_carry_gate_of_its_own() -> None:
    """y = H(x) · T(x) + x · C(x), in Highway networks and in residual gates."""
    torch.manual_seed(0)
    network = randomised(create_model("cifar_highway19", carry="independent"))
    layer = next(each for each in network.modules() if isinstance(each, HighwayLayer) and each.gate is not None)
    x = torch.randn(2, 32, 8, 8, dtype=torch.float64)
    h, t, c = (conv(x) for conv in (layer.transform, layer.gate, layer.carry))
    assert torch.allclose(layer(x), F.relu(h) * torch.sigmoid(t) + x * torch.sigmoid(c))
    unit = randomised(create_model("cifar_resnet20", gate="independent")).layer1[0]
    x = torch.rand(2, 16, 8, 8, dtype=torch.float64)
    branch = unit.bn2(unit.conv2(F.relu(unit.bn1(unit.conv1(x)))))
    wanted = F.relu(torch.sigmoid(unit.join.carry(x)) * x + torch.sigmoid(unit.join.conv(x)) * branch)
    assert torch.allclose(unit(x), wanted)


@torch.no_grad()
def test_row_04_units_as_a_free_list() -> None:
    """Block('block1', bottleneck, [(depth, inner depth, stride), …]), a stride of 3 among them."""
    network = _network()
    features = _article(network.state_dict(), _image(), BLOCKS)
    assert features.shape == (2, 64, 4, 4)
    assert torch.allclose(network.forward_features(_image()), features, rtol=1e-10, atol=1e-10)
    assert torch.allclose(network(_image()), _logits(network, features.mean((2, 3), keepdim=True)).flatten(1))
    early = ([(32, 8, 2), (32, 8, 1)], [(48, 12, 1), (48, 12, 3), (64, 12, 2), (64, 12, 1)])
    network = _network(early)
    features = _article(network.state_dict(), _image(), early)
    assert torch.allclose(network.forward_features(_image()), features, rtol=1e-10, atol=1e-10)
    published = get_spec("resnet50_v2_slim", units=[[(256, 64, 1)] * 2 + [(256, 64, 3)]])
    assert inspect(published).layers[-6].output == (256, 19, 19)  # 56 / 3, rounded up


@torch.no_grad()
def test_row_09_a_pool_of_whole_windows() -> None:
    network = _network(pool_padding="valid")
    features = _article(network.state_dict(), _image(), BLOCKS, root="VALID")
    assert torch.allclose(network.forward_features(_image()), features, rtol=1e-10, atol=1e-10)
    assert dict(network.forward_intermediates(_image()))["resnet_v2_23/pool1"].shape[2:] == (23, 23)


@torch.no_grad()
def test_row_21_a_map_of_logits() -> None:
    network = _network(global_pool=False)
    wanted = _logits(network, _article(network.state_dict(), _image(), BLOCKS))
    assert wanted.shape == (2, 5, 4, 4)
    assert torch.allclose(network(_image()), wanted, rtol=1e-10, atol=1e-10)
    assert create_model("resnet50_v2_slim", global_pool=False).eval()(torch.rand(1, 3, 64, 64)).shape == (1, 1000, 2, 2)


@torch.no_grad()
def test_row_22_no_root_block() -> None:
    network = _network(stem="none", in_channels=24)
    image = _image(32, 24)
    features = _article(network.state_dict(), image, BLOCKS, root="")
    assert torch.allclose(network.forward_features(image), features, rtol=1e-10, atol=1e-10)
    assert network.parts()[0][0] == "resnet_v2_23/block1/unit_1/bottleneck_v2"


@torch.no_grad()
def test_row_23_no_classifier_gives_pooled_features() -> None:
    torch.manual_seed(0)
    network = randomised(build(get_spec("resnet50_v2_slim", num_classes=None, units=BLOCKS)))
    wanted = _article(network.state_dict(), _image(), BLOCKS).mean((2, 3))
    assert torch.allclose(network(_image()), wanted, rtol=1e-10, atol=1e-10)
    points = network.forward_intermediates(_image())
    assert points["global_pool"].shape == (2, 64, 1, 1)
    assert not {"logits", "predictions"} & points.keys()
    for name in ("resnet50", "resnet50_v2_slim"):
        assert create_model(name, num_classes=None).eval()(torch.rand(1, 3, 64, 64)).shape == (1, 2048)
        assert create_model(name).spec.num_classes == 1000
