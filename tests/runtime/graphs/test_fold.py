"""Folded batch normalisation: the same function, in fewer layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from laws.representatives import REPRESENTATIVES, image_for, network_for
from residua.families.build import build
from residua.families.layout import Layout
from residua.runtime.graphs.fold import FoldedNorm, fold_batch_norm
from residua.specs.catalog import get_spec

# (folded, left) of each order of convolution, normalisation and activation.
COUNTS = {
    "resnet18": (20, 0),
    "resnet18_v2": (8, 9),
    "cifar_resnet20_v2": (10, 9),
    "cifar_wrn16_4": (7, 6),
    "cifar_densenet40_12": (0, 39),
    "cifar_densenet_bc100_12": (48, 51),
    "googlenet_bn": (57, 0),
    "alexnet": (0, 0),
}


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_folding_keeps_the_function(name: str) -> None:
    network, images = network_for(name), image_for(name)
    folding = fold_batch_norm(network, tuple(images.shape))
    norms = [name for name, module in folding.network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert {name for name in norms if not name.lower().startswith("aux")} == set(folding.left)
    with torch.inference_mode():
        want, logits = network(images), folding.network(images)
    assert want.std() > 0
    assert (logits - want).abs().max() < 1e-6 * want.abs().max()


@pytest.mark.parametrize("name", COUNTS)
def test_what_stays_is_counted(name: str) -> None:
    spec = get_spec(name)
    folding = fold_batch_norm(build(spec), (2, 3, spec.input_size, spec.input_size))
    assert (len(folding.folded), len(folding.left)) == COUNTS[name]


@pytest.mark.parametrize("unit", ["post", "bn_after_add", "relu_before_add", "relu_only_pre", "full_pre"])
def test_every_order_of_a_unit_keeps_its_function(unit: str) -> None:
    spec = get_spec("cifar_resnet20").edit(activation=unit)
    network = with_statistics(build(spec).double().eval())
    folding = fold_batch_norm(network, (2, 3, 32, 32))
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(folding.network(images), network(images), rtol=1e-9, atol=1e-9)
    assert folding.folded


class Small(nn.Module):
    """A convolution with BN behind it, and whatever a test puts around them."""

    def __init__(self, padding: int = 0, groups: int = 1) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 6, 3, padding=padding, groups=groups)
        self.last = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.conv(self.first(x)))
        return out


def folded(network: nn.Module) -> tuple[set[str], set[str]]:
    network = with_statistics(network.double().eval())
    folding = fold_batch_norm(network, (2, 4, 8, 8))
    images = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(folding.network(images), network(images), rtol=1e-9, atol=1e-9)
    return set(folding.folded), set(folding.left)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_norm_in_front_of_a_layer_is_folded_where_nothing_is_padded(groups: int) -> None:
    assert folded(Small(groups=groups)) == ({"first", "last"}, set())
    assert folded(Small(padding=1, groups=groups)) == ({"last"}, {"first"})


def test_what_is_read_twice_stays() -> None:
    class Twice(Small):
        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            out: Tensor = self.last(y) + y
            return out

    class Returned(Small):
        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            self.last(y)
            return y

    class Shared(Small):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.conv(x)) + self.conv(x)
            return out

    assert folded(Twice()) == (set(), {"last"})
    assert folded(Returned()) == (set(), {"last"})
    assert folded(Shared()) == (set(), {"last"})


def test_a_linear_layer_takes_its_norm() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.norm = nn.Linear(256, 5, bias=False), nn.BatchNorm1d(5)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.norm(self.fc(x.flatten(1)))
            return out

    assert folded(Dense()) == ({"norm"}, set())


def test_the_network_itself_stays_as_it_is() -> None:
    network = build(get_spec("cifar_resnet8")).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folding = fold_batch_norm(network, (2, 3, 32, 32))
    assert network.training
    assert not folding.network.training
    assert folding.network.layout == Layout()
    assert isinstance(folding.network.bn1, FoldedNorm)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert folding.sentence == "7 of 7 batch normalisations folded into convolutions and linear layers"


def with_statistics(network: nn.Module) -> nn.Module:
    """Give every batch normalisation statistics and factors as training leaves them."""
    generator = torch.Generator().manual_seed(3)
    for norm in network.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            for tensor, middle in (
                (norm.running_mean, 0.0),
                (norm.running_var, 1.0),
                (norm.weight, 1.0),
                (norm.bias, 0.0),
            ):
                noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.data.copy_(middle + 0.4 * (noise - 0.5))
    return network
