"""Networks taken apart, against the same networks written out by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from residua._base.errors import InputError
from residua.families.build import build
from residua.families.resnet import Network
from residua.specs.catalog import get_spec
from residua.studies.measures.surgery import kendall_tau, named_units, removable, reordered, resizing, without

ORDERS: dict[str, dict[str, Any]] = {
    "post": {},
    "projection": {"shortcut": "projection"},
    "bn_after_add": {"activation": "bn_after_add"},
    "relu_before_add": {"activation": "relu_before_add"},
    "relu_only_pre": {"activation": "relu_only_pre"},
    "full_pre": {"activation": "full_pre", "stem_norm": True, "shortcut": "projection"},
    "scaled": {"gate": "constant", "shortcut_scale": 0.5, "branch_scale": 0.5},
    "plain": {"shortcut": "none"},
}


def network(**edits: Any) -> Network:
    """A network of 14 layers whose statistics are not those it begins with."""
    torch.manual_seed(0)
    built = build(get_spec("cifar_resnet14", widths=(4, 8, 8), stem_width=4, **edits))
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.5)
    assert isinstance(built, Network)
    return built.eval()


def written_out(net: Network, image: Tensor, gone: set[str]) -> Tensor:
    """The forward pass unit by unit; a unit that is gone is its shortcut."""
    spec = net.spec
    x = net.relu(net.bn1(net.conv1(image)))
    for name, unit in named_units(net).items():
        if name not in gone:
            x = unit(x.clone())
        elif spec.shortcut != "none":
            read = x
            if spec.activation == "full_pre" and unit.downsample is not None:
                read = unit.relu(unit.bn1(x)) if not isinstance(unit.bn1, torch.nn.Identity) else x
            skip = unit.downsample(read) if unit.downsample is not None else x
            skip = 0.5 * skip if spec.gate == "constant" else skip
            if spec.activation == "bn_after_add":
                skip = unit.bn2(skip)
            x = torch.relu(skip) if spec.activation in ("post", "bn_after_add") else skip
    if spec.activation in ("full_pre", "relu_only_pre"):
        x = torch.relu(net.norm(x))
    return net.fc(x.mean((2, 3)))


@pytest.mark.parametrize("order", ORDERS)
@torch.no_grad()
def test_without_units_the_network_is_their_shortcuts(order: str) -> None:
    net, image = network(**ORDERS[order]), torch.randn(2, 3, 16, 16)
    whole = net(image)
    for gone in ({"layer1.0"}, {"layer1.1", "layer2.1", "layer3.1"}, set(removable(net))):
        with without(net, gone):
            torch.testing.assert_close(net(image), written_out(net, image, gone))
        assert not torch.equal(written_out(net, image, gone), whole)
    assert torch.equal(net(image), whole)


def test_which_units_resize_and_which_can_be_left_out() -> None:
    net, plain = network(), network(shortcut="none")
    assert resizing(net) == {"layer2.0", "layer3.0"}
    assert removable(net) == ["layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer3.1"]
    assert removable(plain) == ["layer1.0", "layer1.1", "layer2.1", "layer3.1"]
    with pytest.raises(InputError, match=re.escape("unit 'layer2.0'")), without(plain, ["layer2.0"]):
        pass


@torch.no_grad()
def test_units_change_places_and_go_back() -> None:
    net, image = network(), torch.randn(2, 3, 16, 16)
    whole, units = net(image), named_units(net)
    x = net.relu(net.bn1(net.conv1(image)))
    for name in ("layer1.1", "layer1.0", "layer2.0", "layer2.1", "layer3.0", "layer3.1"):
        x = units[name](x)
    with reordered(net, {"layer1.0": "layer1.1", "layer1.1": "layer1.0"}):
        torch.testing.assert_close(net(image), net.fc(x.mean((2, 3))))
    assert torch.equal(net(image), whole)
    for wrong in ({"layer1.0": "layer2.1", "layer2.1": "layer1.0"}, {"layer2.0": "layer2.1", "layer2.1": "layer2.0"}):
        with pytest.raises(InputError), reordered(net, wrong):
            pass


def test_kendall_tau_is_scipys() -> None:
    from scipy.stats import kendalltau

    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1, 4], [1, 0, 2]):
        assert kendall_tau(order) == pytest.approx(kendalltau(range(len(order)), order).statistic)
