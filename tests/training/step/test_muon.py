"""Muon does as torch's own on flattened convolutions; the rest has another optimizer; the state fits either layout."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.families.build import build, spec_of
from residua.training.recipe import Recipe
from residua.training.step.muon import Muon, orthogonalised
from residua.training.step.optim import build_optimizer, optimizer_tensors, restore_optimizer, set_learning_rate

RECIPE = Recipe(
    optimizer="muon", learning_rate=0.05, momentum=0.95, nesterov=True, weight_decay=0.01, rest_rate=0.5,
    decay_norm_and_bias=False,
)  # fmt: skip


def network(layout: torch.memory_format) -> nn.Module:
    torch.manual_seed(0)
    return build(spec_of("cifar_resnet8")).to(memory_format=layout).train()


def go(net: nn.Module, recipe: Recipe, steps: int, state: dict[str, Tensor] | None = None) -> torch.optim.Optimizer:
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    optimizer = build_optimizer(net, recipe)
    set_learning_rate(optimizer, recipe.learning_rate)
    restore_optimizer(optimizer, state or {})
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), torch.arange(8)).backward()
        optimizer.step()
    return optimizer


def theirs(net: nn.Module, steps: int) -> None:
    """Do the same steps with torch's two optimizers, the weights flattened by hand."""
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    convs = [p for p in net.parameters() if p.ndim == 4]
    flat = [nn.Parameter(p.detach().clone().reshape(len(p), -1)) for p in convs]
    muon = torch.optim.Muon(flat, lr=0.05, momentum=0.95, weight_decay=0.01)
    norms = [p for p in net.parameters() if p.ndim == 1]
    head = [p for p in net.parameters() if p.ndim == 2]
    groups = [{"params": head, "weight_decay": 0.01}, {"params": norms, "weight_decay": 0.0}]
    sgd = torch.optim.SGD(groups, lr=0.025, momentum=0.95, nesterov=True)
    for _ in range(steps):
        net.zero_grad()
        nn.functional.cross_entropy(net(images), torch.arange(8)).backward()
        for matrix, conv in zip(flat, convs, strict=True):
            matrix.grad = conv.grad.reshape(len(conv), -1)
        muon.step()
        sgd.step()
        with torch.no_grad():
            for matrix, conv in zip(flat, convs, strict=True):
                conv.copy_(matrix.view_as(conv))


def test_a_step_is_torchs_own_on_flattened_convolutions() -> None:
    ours, peers = (network(torch.contiguous_format) for _ in range(2))
    assert isinstance(go(ours, RECIPE, 3), Muon)
    theirs(peers, 3)
    for (name, value), wanted in zip(ours.named_parameters(), peers.parameters(), strict=True):
        torch.testing.assert_close(value, wanted, rtol=0, atol=1e-5, msg=name)


def test_the_layout_of_the_weights_does_not_matter() -> None:
    planes, innermost = network(torch.contiguous_format), network(torch.channels_last)
    weight = planes.layer1[0].conv1.weight
    before = weight.detach().clone()
    go(planes, RECIPE, 1)
    go(innermost, RECIPE, 1)
    moved = (weight - before).norm()
    # The update is computed in bfloat16, whose sums depend on the order of the columns.
    assert (innermost.layer1[0].conv1.weight - weight).norm() < 0.02 * moved
    assert innermost.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_weight_of_any_strides_is_updated() -> None:
    values, gradient = torch.randn(2, 8, 4, 3, 3, generator=torch.Generator().manual_seed(3))
    updated = []
    for order in ((0, 1, 2, 3), (2, 1, 0, 3)):
        back = tuple(order.index(place) for place in range(4))
        weight = nn.Parameter(values.permute(order).clone(memory_format=torch.contiguous_format).permute(back))
        weight.grad = gradient.clone()
        head = nn.Parameter(torch.zeros(2))
        matrices, rest = [{"params": [weight], "weight_decay": 0.0}], [{"params": [head]}]
        Muon(matrices, rest, partial(torch.optim.SGD, lr=0.1), lr=0.1, momentum=0.9, nesterov=True).step()
        updated.append(weight.detach())
    assert (updated[0] - values).norm() > 0.1
    assert (updated[1] - updated[0]).norm() < 0.02 * (updated[0] - values).norm()


@pytest.mark.parametrize("shape", [(16, 27), (64, 64), (80, 20)])
def test_matrices_of_one_shape_are_orthogonalised_as_torch_does_one(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(2))
    for matrix, ours in zip(matrices, orthogonalised(matrices), strict=True):
        parameter = nn.Parameter(torch.zeros(shape))
        parameter.grad = matrix
        torch.optim.Muon([parameter], lr=1.0, momentum=0.0, weight_decay=0.0, nesterov=False).step()
        theirs = -parameter.detach() / max(1, shape[0] / shape[1]) ** 0.5
        torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=2e-2)
    assert torch.equal(orthogonalised(torch.zeros(1, *shape)), torch.zeros(1, *shape, dtype=torch.bfloat16))


def test_an_update_has_singular_values_near_the_learning_rate() -> None:
    net = network(torch.channels_last)
    weight = net.layer2[0].conv2.weight
    before = weight.detach().clone()
    go(net, RECIPE, 1)
    update = (before * (1 - 0.05 * 0.01) - weight.detach()).flatten(1)
    values = torch.linalg.svdvals(update) / 0.05
    assert 0.5 < float(values.min()) < float(values.max()) < 1.5


@pytest.mark.parametrize("rest", ["sgd", "adamw"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_restored_optimizer_goes_on_bit_for_bit(rest: str, layout: torch.memory_format) -> None:
    recipe = Recipe(optimizer="muon", learning_rate=0.02, rest_optimizer=rest, rest_rate=0.1)  # type: ignore[arg-type]
    net = network(layout)
    once = copy.deepcopy(net)
    go(once, recipe, 4)
    saved = {name: value.clone().contiguous() for name, value in optimizer_tensors(go(net, recipe, 2)).items()}
    shapes = {tuple(value.shape) for value in saved.values()}
    assert (16, 3, 3, 3) in shapes  # as the weight has it, whatever the layout
    go(net, recipe, 2, saved)
    for name, value in once.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name


def test_a_highway_network_has_matrices_and_a_classifier_apart() -> None:
    net = build(spec_of("highway_mlp10"))
    optimizer = build_optimizer(net, RECIPE)
    assert isinstance(optimizer, Muon)
    muon = {id(p) for group in optimizer._own for p in group["params"]}
    two = [name for name, p in net.named_parameters() if p.ndim == 2]
    left = [name for name, p in net.named_parameters() if p.ndim == 2 and id(p) not in muon]
    assert len(two) > len(left) == 1
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in net.parameters())


def test_a_rest_without_muon_is_refused() -> None:
    for field in ({"rest_optimizer": "adamw"}, {"rest_rate": 0.5}):
        name = next(iter(field))
        with pytest.raises(InputError, match=rf"Given: {name}=\S+ with optimizer='sgd'\. Wanted: optimizer='muon'"):
            Recipe(**field)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="sgd or muon with momentum > 0"):
        Recipe(optimizer="adamw", nesterov=True)
