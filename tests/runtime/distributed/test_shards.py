"""A network divided between two processes with uneven slices learns what it learns as a whole."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from residua.families.build import build
from residua.families.network import Classifier
from residua.runtime.device import Hardware
from residua.runtime.distributed.group import ALONE, Group
from residua.runtime.distributed.launch import Launch
from residua.specs.catalog import get_spec
from residua.training.distributed.gradients import Gradients
from residua.training.recipe import Recipe
from residua.training.step.freeze import frozen
from residua.training.step.optim import Average, build_optimizer, optimizer_tensors
from training.distributed.processes import PRELOADED

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(PRELOADED)
SLICES = (slice(0, 5), slice(5, 7))
CLIP = 0.5
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "uneven rows, half of it frozen": ("cifar_resnet8", {"num_classes": 3}, {"freeze": "layer2"}),
    "pre-activated, Adam": ("cifar_resnet8_v2", {}, {"optimizer": "adamw", "weight_decay": 0.1}),
    "layers that units share": ("cifar_resnet20", {"sharing": "units"}, {"nesterov": True}),
    "layers that functions call": ("cifar_nin", {"input_size": 32}, {"optimizer": "adam"}),
    "no convolutions": ("highway_mlp10", {"input_size": 8}, {}),
}


def network_of(case: str) -> Classifier:
    name, edits, fields = CASES[case]
    spec = get_spec(name, **edits)
    torch.manual_seed(0)
    network = build(spec).double()
    frozen(spec, fields.get("freeze", "")).apply(network)
    return network


def learnt(network: Classifier, case: str, slices: list[slice], group: Group) -> dict[str, Tensor]:
    """Two steps on a batch, computed slice by slice, of which each weighs by its images; then all that there is."""
    spec, recipe = network.spec, Recipe(**CASES[case][2])
    torch.manual_seed(1)
    images = torch.randn(7, spec.in_channels, spec.input_size, spec.input_size).double()
    labels = torch.arange(7) % spec.num_classes
    sharded = group.count > 1
    gradients = Gradients(network, group, average_statistics=False, sharded=sharded)
    optimizer, average = build_optimizer(network, recipe, sharded=sharded), Average(network, 0.9)
    for step in range(2):
        optimizer.zero_grad()
        for part in slices:
            torch.manual_seed(2)  # dropout
            (cross_entropy(network(images[part]), labels[part], reduction="sum") / 7).backward()
        gradients.clip(network.parameters(), CLIP)
        optimizer.step()
        average.update(step)
    named = dict(network.named_parameters())
    states = {f"optimizer.{name}": value for name, value in optimizer_tensors(optimizer).items()}
    averages = {f"average.{name}": value for name, value in average.tensors.items() if name in named}
    return {**{f"gradient.{n}": p.grad for n, p in named.items() if p.grad is not None}, **named, **states, **averages}


def _work(rank: int, folder: str) -> None:
    import torch.distributed as dist

    from residua.runtime.distributed import shards as module

    torch.set_num_threads(1)
    module._LARGE = 20_000  # so that small networks have large layers
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    group = Group(Launch(rank, 2))
    outcomes: dict[str, Any] = {}
    for case in CASES:
        network = network_of(case)
        if rank == 1:
            with torch.no_grad():  # the first process's values are taken
                network.get_parameter(next(iter(dict(network.named_parameters())))).zero_()
        shards = module.Shards(network)
        tensors = {name: value.detach() for name, value in learnt(network, case, [SLICES[rank]], group).items()}
        held = {name: module.part(value).numel() for name, value in tensors.items()}
        wholes = shards.gathered(tensors)
        whole = shards.network(network.spec, dict(network.state_dict()), HARDWARE)
        outcomes[case] = (shards.groups, shards.held, shards.parameters, held, wholes, dict(whole.state_dict()))
    torch.save(outcomes, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


HARDWARE = Hardware(torch.device("cpu"), bf16=False, channels_last=True, threads=1, reason="")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes has in the end, by case."""
    folder = tmp_path_factory.mktemp("shards")
    processes = [_SERVER.Process(target=_work, args=(rank, str(folder))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_gradients_weights_states_and_averages_are_those_of_one_process(
    case: str, outcomes: list[dict[str, Any]]
) -> None:
    expected = learnt(network_of(case), case, [*SLICES], ALONE)
    for each in outcomes:
        *_, tensors, state = each[case]
        assert tensors.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(tensors[name], value.detach(), rtol=1e-9, atol=1e-12, msg=f"{case}: {name}")
            if name in state:
                assert torch.equal(state[name], tensors[name]), name


@pytest.mark.parametrize("case", CASES)
def test_a_process_holds_half_of_everything(case: str, outcomes: list[dict[str, Any]]) -> None:
    network = network_of(case)
    whole = sum(parameter.numel() for parameter in network.parameters())
    held = [each[case][1] for each in outcomes]
    assert sum(held) == whole == outcomes[0][case][2]
    assert held[0] == pytest.approx(whole / 2, rel=0.01)
    one, two = (each[case][3] for each in outcomes)
    for name, tensor in outcomes[0][case][4].items():
        assert one[name] + two[name] == tensor.numel() or (one[name] == two[name] == tensor.numel() == 1), name


def test_units_and_large_layers_are_gathered_alone(outcomes: list[dict[str, Any]]) -> None:
    groups: Callable[[str], tuple[str, ...]] = lambda case: outcomes[1][case][0]  # noqa: E731
    assert groups("pre-activated, Adam") == ("layer1.0", "layer2.0", "layer3.0")
    assert groups("layers that units share") == ()
    assert groups("no convolutions") == tuple(f"layer{number}" for number in range(2, 11))
    network = network_of("layers that functions call")
    large = [name for name, each in network.named_modules() if isinstance(each, nn.Conv2d) and _size(each) >= 20_000]
    assert large
    assert groups("layers that functions call") == tuple(large)


def _size(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())
