"""Parameter groups, schedules as pure functions, the average, and the optimizer's state."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from residua.families.build import build, spec_of
from residua.training.recipe import Recipe
from residua.training.step.optim import (
    Average,
    build_optimizer,
    learning_rate,
    optimizer_tensors,
    parameter_groups,
    restore_optimizer,
)


def rates(recipe: Recipe, epochs: int = 10, per_epoch: int = 10) -> list[float]:
    total = epochs * per_epoch
    return [learning_rate(recipe, step, total_steps=total, steps_per_epoch=per_epoch) for step in range(total)]


def test_groups_hold_every_parameter_once() -> None:
    model = build(spec_of("cifar_resnet8"))
    groups = parameter_groups(model, Recipe(decay_norm_and_bias=False, weight_decay=0.01))
    decayed, spared = (group["params"] for group in groups)
    assert {group["weight_decay"] for group in groups} == {0.01, 0.0}
    assert sum(p.numel() for p in decayed + spared) == sum(p.numel() for p in model.parameters())
    assert all(p.ndim == 1 for p in spared)
    assert len(spared) == 7 * 2 + 1  # seven norms with weight and bias, the head's bias
    (everything,) = parameter_groups(model, Recipe(decay_norm_and_bias=True))
    assert len(everything["params"]) == len(list(model.parameters()))


def test_cosine_and_step_agree_with_torch() -> None:
    parameter = nn.Parameter(torch.zeros(1))

    def theirs(make: object) -> list[float]:
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        scheduler = make(optimizer)  # type: ignore[operator]
        found = []
        for _ in range(100):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    cosine = Recipe(learning_rate=0.1, schedule="cosine", final_learning_rate=0.001)
    assert rates(cosine) == pytest.approx(
        theirs(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 100, eta_min=0.001))
    )
    step = Recipe(learning_rate=0.1, schedule="step", milestones=(3, 7), gamma=(0.1,))
    by_steps = Recipe(learning_rate=0.1, schedule="step", milestone_steps=(30, 70), gamma=(0.1, 0.1))
    expected = theirs(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [30, 70], gamma=0.1))
    assert rates(step) == pytest.approx(expected)
    assert rates(by_steps) == pytest.approx(expected)


def test_one_cycle_rises_to_the_peak_and_falls_to_the_end() -> None:
    found = rates(Recipe(learning_rate=0.4, schedule="one_cycle", warmup_epochs=2.5))
    assert found[24] == pytest.approx(0.4)
    assert max(found) == pytest.approx(0.4)
    assert all(a < b for a, b in pairwise(found[:25]))
    assert all(a > b for a, b in pairwise(found[25:]))
    assert 0 < found[-1] < 0.4 / 50


def test_warm_up_ends_at_the_rate_and_may_fill_the_run() -> None:
    assert rates(Recipe(learning_rate=0.1, warmup_epochs=1))[:11] == pytest.approx(
        [0.01 * (i + 1) for i in range(10)] + [0.1]
    )
    assert rates(Recipe(learning_rate=0.1, warmup_epochs=50))[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_restored_optimizer_goes_on_bit_for_bit(optimizer: str, layout: torch.memory_format) -> None:
    recipe = Recipe(optimizer=optimizer, learning_rate=0.01, weight_decay=0.01)  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = build(spec_of("cifar_resnet8"))
    model.to(memory_format=layout)
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8)

    def go(net: nn.Module, steps: int, state: dict[str, torch.Tensor] | None = None) -> torch.optim.Optimizer:
        optimizer = build_optimizer(net, recipe)
        restore_optimizer(optimizer, state or {})
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
        return optimizer

    once = copy.deepcopy(model)
    go(once, 5)
    saved = {name: value.clone().contiguous() for name, value in optimizer_tensors(go(model, 3)).items()}
    go(model, 2, saved)
    for name, value in once.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_the_average_follows_and_leaves_the_network_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(model, 0.9)
    with torch.no_grad():
        model[0].weight.add_(1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start = {name: value.clone() for name, value in average.tensors.items()}
    average.update(0)  # decay min(0.9, 1 / 10)
    expected = 0.1 * start["0.weight"] + 0.9 * before["0.weight"]
    torch.testing.assert_close(average.tensors["0.weight"], expected)
    with average.applied():
        assert torch.equal(model[0].weight, average.tensors["0.weight"])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
