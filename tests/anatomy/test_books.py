"""The books balance: layers sum to the totals, the totals are the network's, for every listed network."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch import Tensor, nn

from laws.representatives import LARGEST, REPRESENTATIVES, spec_for
from residua.anatomy import Anatomy, cost, inspect
from residua.families.build import build, outline
from residua.specs.catalog import counts, get_spec, list_models

SWEPT = [name for name in list_models() if name not in LARGEST]


@pytest.mark.parametrize("name", SWEPT)
def test_layers_sum_to_the_record(name: str) -> None:
    found = inspect(name)
    # A name without a record is counted now; that there are none is another test's business.
    counted = counts(name) or dataclasses.astuple(cost(get_spec(name)))
    assert (found.params, found.macs) == counted, "stale, where inspect and cost agree: run `make counts`"
    assert found.params == sum(weight.numel() for weight in outline(get_spec(name)).parameters())
    for groups in (found.parts, found.stages):
        for key in ("params", "macs", "flops", "elementwise_flops", "activation_bytes", "kept_bytes"):
            assert sum(getattr(group, key) for group in groups) == getattr(found, key)
        assert sum(group.layers for group in groups) == len(found.layers)
    names = [layer.name for layer in found.layers]
    assert len(set(names)) == len(names)
    known = {"image", *names}
    assert all(set(layer.inputs) <= known for layer in found.layers)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_one_pass_agrees_with_torchs_own_counter(name: str) -> None:
    """`cost` runs torch's meta kernels under torch's counter; `inspect` has formulas of its own."""
    spec = spec_for(name)
    found, counted = inspect(spec), cost(spec)
    assert (found.params, found.macs) == (counted.params, counted.macs)


def _module_outputs(spec: object, size: int) -> list[tuple[str, tuple[int, ...]]]:
    """What torch's meta kernels give for each leaf module, in the order of the calls."""
    with torch.device("meta"):
        network = build(spec).eval()  # type: ignore[arg-type]
        image = torch.empty(2, spec.in_channels, size, size)  # type: ignore[attr-defined]
    shapes: list[tuple[str, tuple[int, ...]]] = []

    def note(name: str) -> object:
        return lambda module, args, output: shapes.append((name, tuple(output.shape[1:])))

    for name, module in network.named_modules():
        if not list(module.children()) and not isinstance(module, nn.Identity | nn.Dropout):
            module.register_forward_hook(note(name))  # type: ignore[arg-type]
    with torch.no_grad():
        network(image)
    return shapes


def _modules(found: Anatomy, wanted: set[str]) -> list[tuple[str, tuple[int, ...]]]:
    rows = ((layer.name.partition(" (")[0], layer.output) for layer in found.layers if layer.runs)
    return [row for row in rows if row[0] in wanted]


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_shapes_are_torchs_at_odd_sizes_too(name: str) -> None:
    spec = spec_for(name)
    sizes = [spec.input_size] if spec.family == "highway_mlp" else [spec.input_size, spec.input_size + 13]
    for size in sizes:
        truth = _module_outputs(spec, size)
        found = inspect(spec, (spec.in_channels, size, size), batch=2)
        assert _modules(found, {name for name, _ in truth}) == truth


def test_shared_weights_count_once_and_unused_ones_are_listed() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 3, 3, padding=1, bias=False)
            self.second = nn.Conv2d(3, 3, 3, padding=1, bias=False)
            self.second.weight = self.first.weight
            self.idle = nn.Linear(5, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(self.first(x)))

    network = Pair()
    found = inspect(network, (3, 8, 8))
    assert [(layer.name, layer.params, layer.macs) for layer in found.layers] == [
        ("first", 81, 81 * 64),
        ("first (2)", 0, 81 * 64),
        ("second", 0, 81 * 64),
        ("idle", 42, 0),
    ]
    assert not found.layers[-1].runs
    assert found.params == sum(weight.numel() for weight in network.parameters())
    # The module is left as it was.
    assert network.first.weight is network.second.weight
    assert network.first.weight.device.type == "cpu"
    assert not network.first._forward_hooks


def test_operations_without_a_rule_run_on_the_meta_device() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            a, b = torch.chunk(nn.functional.gelu(self.scale * x), 2, dim=1)
            return torch.einsum("bchw,bcwv->bhv", a * 2, b.tanh())

    found = inspect(Odd(), (4, 6, 6), batch=3)
    assert [layer.operation for layer in found.layers] == ["mul", "gelu", "mul", "tanh", "einsum"]
    assert [layer.params for layer in found.layers] == [4, 0, 0, 0, 0]
    assert found.layers[-1].output == (6, 6)
    assert found.layers[-1].macs == 2 * 6 * 6 * 6
    # gelu keeps its input, tanh its output.
    assert [layer.kept_bytes for layer in found.layers[:4]] == [0, 3 * 4 * 36 * 4, 0, 3 * 2 * 36 * 4]


def test_batch_scales_bytes_and_nothing_else() -> None:
    one, eight = inspect("cifar_resnet20"), inspect("cifar_resnet20", batch=8)
    assert (one.params, one.macs, one.elementwise_flops) == (eight.params, eight.macs, eight.elementwise_flops)
    assert eight.activation_bytes == 8 * one.activation_bytes
    assert [layer.receptive_field for layer in one.layers] == [layer.receptive_field for layer in eight.layers]


def test_json_has_cumulative_shares_that_end_at_one() -> None:
    document = inspect("resnet18").to_dict()
    for key in ("layers", "parts", "stages"):
        rows = document[key]
        assert rows[-1]["cumulative_macs"] == rows[-1]["cumulative_params"] == 1
        assert all(a["cumulative_macs"] <= b["cumulative_macs"] for a, b in itertools.pairwise(rows))
        assert sum(row["flops"] for row in rows) == document["flops"] == 2 * document["macs"]


@pytest.mark.parametrize(
    ("name", "edits", "depth"),
    [
        ("resnet34", {}, 34),
        ("resnet34", {"shortcut": "projection_all"}, 34),
        ("resnet50_v2_slim", {}, 50),
        ("seresnet101", {}, 101),
        ("resnext50_32x4d", {}, 50),
        ("cifar_resnet20", {"gate": "independent"}, 20),
        ("cifar_resnet20", {"gate": "exclusive", "shortcut": "projection"}, 20),
        ("cifar_highway19", {}, 19),
        ("cifar_highway19", {"carry": "independent"}, 19),
        ("plain34", {}, 34),
        ("vgg19_bn", {}, 19),
        ("densenet121", {}, 121),
    ],
)
def test_weighted_layers_are_those_that_he_2015_counts(name: str, edits: dict[str, str], depth: int) -> None:
    found = inspect(get_spec(name, **edits))
    assert sum(layer.weighted for layer in found.layers) == depth
    assert sum(group.weighted for group in found.stages) == depth
