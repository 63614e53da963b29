"""Rows 42 to 51 of the list of what the articles name: a tutorial on ResNet in PyTorch. One test a row."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from residua.anatomy import cost, inspect
from residua.families.build import build
from residua.specs.catalog import counts, get_spec
from residua.studies.catalog import get_study
from residua.studies.measures.flow import forward
from residua.studies.measures.surgery import branch_end, named_units
from residua.studies.questions.paths import along, contributions
from residua.studies.study import StudyOptions
from studies.measures.test_surgery import network

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.tensor([1, 4, 7])


@pytest.mark.parametrize(
    ("name", "channels", "sides"),
    [("resnet34", (64, 64, 64), (3, 3)), ("resnet50", (256, 64, 64, 256), (1, 3, 1))],
)
def test_row_042_basic_and_bottleneck_units(name: str, channels: tuple[int, ...], sides: tuple[int, ...]) -> None:
    """Two 3×3; or a 1×1 that narrows, a 3×3, and a 1×1 that widens, at about the cost of the two."""
    with torch.device("meta"):
        unit = build(get_spec(name)).layer1[1]
    convs = [module for module in unit.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.kernel_size for conv in convs] == [(side, side) for side in sides]
    assert (convs[0].in_channels, *(conv.out_channels for conv in convs)) == channels
    # He 2015, figure 5: 73,728 weights of 64 channels in and out against 69,632 of 256.
    weights = sum(conv.weight.numel() for conv in convs)
    assert weights == (73_728 if name == "resnet34" else 69_632)


@pytest.mark.parametrize("order", ["post", "full_pre"])
def test_row_043_the_gradient_is_one_plus_that_of_the_branch(order: str) -> None:
    """d(x + F(x))/dx = 1 + ∂F/∂x: the two terms add up to what automatic differentiation finds of the whole unit."""
    net = network(activation=order, stem_norm=order == "full_pre").double()
    step = forward(net, IMAGES, LABELS, training=False).steps[1]
    gradient = torch.randn(step.out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, through = step.back(gradient)
    at_sum = gradient if order == "full_pre" else gradient * (step.out > 0)
    x = step.x.detach().requires_grad_()
    (whole,) = torch.autograd.grad(named_units(net)[step.name](x.clone()), x, gradient)
    torch.testing.assert_close(whole, at_sum + through)
    arms = get_study("gradients").grid(StudyOptions(quick=True, depths=(20,)))
    assert {arm.spec.name for arm in arms} == {"cifar_plain20", "cifar_resnet20"}


@pytest.mark.parametrize("order", ["post", "bn_after_add", "relu_before_add", "relu_only_pre", "full_pre"])
@torch.no_grad()
def test_row_044_zero_weights_give_the_input_back(order: str) -> None:
    """With a branch of zeros a residual unit is the identity; a plain unit is a constant."""
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).relu()
    for shortcut in ("pad", "none"):
        net = network(activation=order, shortcut=shortcut)
        unit = named_units(net)["layer1.1"]
        for module in (getattr(unit, f"conv{unit.depth}"), branch_end(unit, net)):
            for parameter in module.parameters():
                parameter.zero_()
        if order == "bn_after_add":
            unit.bn2.running_mean.zero_()
            unit.bn2.running_var.fill_(1 - unit.bn2.eps)
            unit.bn2.weight.fill_(1)
            unit.bn2.bias.zero_()
        wanted = x if shortcut == "pad" else torch.zeros_like(x)
        torch.testing.assert_close(unit(x.clone()), wanted)


def test_row_045_n_units_are_2_to_the_n_networks() -> None:
    """Three units have 8 paths, 1, 3, 3 and 1 by length; all of them together carry the whole gradient."""
    found = forward(network(depths=(1, 1, 1)).double(), IMAGES, LABELS, training=False)
    n = len(found.steps)
    paths = [set(chosen) for k in range(n + 1) for chosen in itertools.combinations(range(n), k)]
    assert [sum(len(path) == k for path in paths) for k in range(n + 1)] == [1, 3, 3, 1]
    assert len(paths) == 2**n == 8
    gradient = found.gradient
    for step in reversed(found.steps):
        gradient, _ = step.back(gradient)
    torch.testing.assert_close(sum(along(found, path) for path in paths), gradient)
    # Of 54 units most paths pass 27; gradients that halve with each branch put the mean at a third.
    share = contributions([0.5**k for k in range(55)])
    assert sum(k * part for k, part in enumerate(share)) == pytest.approx(54 / 3)
    assert sum(k * math.comb(54, k) for k in range(55)) / 2**54 == 27


def test_row_046_densenet_reuses_what_residual_networks_repeat() -> None:
    """Layers of 32 new maps, each of which reads all before it: 121 layers need a third of ResNet-50's parameters."""
    with torch.device("meta"):
        block = build(get_spec("densenet121")).features.denseblock1
    firsts = [layer.conv1.in_channels for layer in block.children()]
    assert firsts == [64 + 32 * number for number in range(6)]
    dense, residual = counts("densenet121"), counts("resnet50")
    assert dense is not None
    assert residual is not None
    assert (dense[0], residual[0]) == (7_978_856, 25_557_032)
    assert dense[1] < 0.7 * residual[1]


@pytest.mark.parametrize(
    ("name", "depths", "layers", "added"),
    [("resnet18", (3, 2, 2, 2), 20, 73_984), ("resnet34", (4, 4, 6, 3), 36, 73_984)],
)
def test_row_050_a_unit_more_than_the_name_states(name: str, depths: tuple[int, ...], layers: int, added: int) -> None:
    """The tutorial's first stage has a unit too many: 20 and 36 layers, two 3×3 of 64 channels and their norms."""
    spec, published = get_spec(name, depths=depths), get_spec(name)
    assert (spec.depth, published.depth) == (layers, layers - 2)
    assert cost(spec).params - cost(published).params == 2 * (3 * 3 * 64 * 64) + 2 * (2 * 64) == added
    # The tutorial's own network has biases there, too.
    own = get_spec(f"{name}_plainstem")
    lean = own.edit(depths=published.depths)
    assert (own.depths, cost(own).params - cost(lean).params) == (depths, added + 2 * 64)
    first = next(stage for stage in inspect(spec).stages if stage.name == "layer1")
    assert (first.weighted, first.output) == (2 * depths[0], (64, 56, 56))
