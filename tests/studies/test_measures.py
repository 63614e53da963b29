"""What studies measure, against the same computed by other means on small networks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from residua.anatomy.cost import cost
from residua.anatomy.inspect import inspect
from residua.studies.catalog import get_study
from residua.studies.measures.flow import forward
from residua.studies.measures.surgery import named_units
from residua.studies.questions.paths import along, contributions
from residua.studies.questions.responses import responses_of
from residua.studies.study import StudyOptions
from studies.measures.test_surgery import ORDERS, network

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([1, 4, 7])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_on_its_way_is_that_of_the_whole_network(order: str, training: bool) -> None:
    net = network(**ORDERS[order])
    net.layer1[0].dropout = None
    found = forward(net, IMAGES, LABELS, training=training)
    gradient, ours = found.gradient, {}
    for step in reversed(found.steps):
        gradient, _ = step.back(gradient)
        ours[step.name] = gradient
    state = {name: value.clone() for name, value in net.state_dict().items()}
    kept: dict[str, torch.Tensor] = {}
    for name, unit in named_units(net).items():

        def keep(module: Any, given: Any, name: str = name) -> torch.Tensor:
            kept[name] = given[0]
            return given[0].clone()

        unit.register_forward_pre_hook(keep)
    theirs = torch.autograd.grad(F.cross_entropy(net.train(training)(IMAGES), LABELS), list(kept.values()))
    for name, gradient in zip(kept, theirs, strict=True):
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-6)
    if not training:
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("order", ["post", "full_pre"])
def test_through_the_identity_comes_the_one_of_one_plus_the_derivative(order: str) -> None:
    net = network(**ORDERS[order]).double()
    found = forward(net, IMAGES.double(), LABELS, training=False)
    step = found.steps[1]  # layer1.1, an identity shortcut
    unit = named_units(net)[step.name]
    g = torch.randn(step.out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole, through = step.back(g)

    def branch(x: torch.Tensor) -> torch.Tensor:
        if order == "post":
            return unit.bn2(unit.conv2(torch.relu(unit.bn1(unit.conv1(x)))))
        return unit.conv2(torch.relu(unit.bn2(unit.conv1(torch.relu(unit.bn1(x))))))

    x = step.x.detach()
    at_sum = g * (x + branch(x) > 0) if order == "post" else g
    jacobian = torch.autograd.functional.jacobian(branch, x).reshape(x.numel(), x.numel())
    by_hand = (jacobian.T @ at_sum.flatten()).reshape(x.shape)
    torch.testing.assert_close(through, by_hand)
    torch.testing.assert_close(whole, at_sum + by_hand)
    torch.testing.assert_close(whole - through, at_sum)


@pytest.mark.parametrize("order", ["post", "full_pre", "relu_before_add", "bn_after_add", "scaled"])
def test_all_paths_add_up_to_the_whole_gradient(order: str) -> None:
    found = forward(network(**ORDERS[order]).double(), IMAGES.double(), LABELS, training=False)
    n = len(found.steps)
    paths = [set(chosen) for k in range(n + 1) for chosen in itertools.combinations(range(n), k)]
    assert len(paths) == 2**n
    gradient = found.gradient
    for step in reversed(found.steps):
        gradient, _ = step.back(gradient)
    torch.testing.assert_close(sum(along(found, path) for path in paths), gradient)


def test_contributions_are_the_binomial_times_the_norm() -> None:
    share = contributions([8.0, 4.0, 2.0, 1.0])
    assert share == pytest.approx([8 / 27, 12 / 27, 6 / 27, 1 / 27])


@torch.no_grad()
def test_responses_are_those_of_the_layers_written_out() -> None:
    net = network()
    measured = responses_of(net, [IMAGES[:2], IMAGES[2:]])
    x = torch.relu(net.bn1(net.conv1(IMAGES)))
    stds, ratios = [], []
    for unit in named_units(net).values():
        first = unit.bn1(unit.conv1(x))
        second = unit.bn2(unit.conv2(torch.relu(first)))
        skip = unit.downsample(x) if unit.downsample else x
        stds += [np.std(first.numpy()), np.std(second.numpy())]
        ratios.append(np.mean([np.linalg.norm(b) / np.linalg.norm(s) for b, s in zip(second, skip, strict=True)]))
        x = torch.relu(skip + second)
    assert measured["std"] == pytest.approx(stds, rel=1e-4)
    assert measured["ratios"] == pytest.approx(ratios, rel=1e-4)
    assert measured["layers"][:2] == ["layer1.0.conv1", "layer1.0.conv2"]
    plain = responses_of(network(shortcut="none"), [IMAGES])
    assert (plain["kind"], plain["ratios"]) == ("plain", [])
    assert len(plain["std"]) == 12


@pytest.mark.parametrize("quick", [True, False])
def test_what_is_compared_at_equal_cost_costs_the_same(quick: bool) -> None:
    wide, parameters, macs = (cost(arm.spec) for arm in get_study("width-depth").grid(StudyOptions(quick)))
    assert parameters.params == pytest.approx(wide.params, rel=0.005)
    assert macs.macs == pytest.approx(wide.macs, rel=0.005)
    basic, bottleneck = (cost(arm.spec) for arm in get_study("bottleneck").grid(StudyOptions(quick)))
    assert bottleneck.params == pytest.approx(basic.params, rel=0.01)
    assert bottleneck.macs == pytest.approx(basic.macs, rel=0.04)


@pytest.mark.parametrize("quick", [True, False])
def test_two_3x3_see_as_far_as_one_5x5(quick: bool) -> None:
    two, one = (inspect(arm.spec) for arm in get_study("two-3x3").grid(StudyOptions(quick)))
    seen = [
        [layer.receptive_field for layer in found.layers if layer.operation == "max_pool2d"] for found in (two, one)
    ]
    assert len(seen[0]) == 2
    assert seen[0] == seen[1]
    last = [[layer for layer in found.layers if layer.operation == "conv2d"][-1] for found in (two, one)]
    assert last[0].receptive_field == last[1].receptive_field
    assert (last[0].window[0], last[1].window[0]) == ((3, 3), (5, 5))
    assert two.macs < one.macs
