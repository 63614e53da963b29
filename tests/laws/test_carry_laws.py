"""The carry gate of its own: y = H(x) · T(x) + x · C(x) (Srivastava 2015, arXiv 1505.00387, equation 2)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from peers.randomised import randomised
from residua._base.errors import InputError
from residua.anatomy import inspect
from residua.anatomy.drawing.picture import sections
from residua.families.build import build
from residua.layers.gate import IndependentSum
from residua.layers.highway import HighwayLayer
from residua.specs.catalog import get_spec

HIGHWAYS = ("cifar_highway19", "highway_mlp10")


def _network(name: str, **edits: object) -> nn.Module:
    torch.manual_seed(0)
    return randomised(build(get_spec(name, **edits)))


def _image(network: nn.Module) -> torch.Tensor:
    spec = network.spec
    return torch.rand(2, spec.in_channels, spec.input_size, spec.input_size, dtype=torch.float64)


@pytest.mark.parametrize("name", HIGHWAYS)
@torch.no_grad()
def test_a_layer_is_the_equation(name: str) -> None:
    network = _network(name, carry="independent")
    layer = next(each for each in network.modules() if isinstance(each, HighwayLayer) and each.gate is not None)
    inside: dict[str, torch.Tensor] = {}
    hook = layer.register_forward_hook(lambda _, args, out: inside.update(x=args[0].clone(), y=out.clone()))
    network(_image(network))
    hook.remove()
    x = inside["x"]
    want = layer.transform(x).relu() * layer.gate(x).sigmoid() + x * layer.carry(x).sigmoid()
    assert torch.allclose(inside["y"], want, rtol=1e-12)


@pytest.mark.parametrize("name", HIGHWAYS)
@torch.no_grad()
def test_the_opposite_weights_are_the_coupled_network(name: str) -> None:
    """sigmoid(−z) = 1 − sigmoid(z): with W_C = −W_T the two equations are one."""
    coupled, independent = _network(name), _network(name, carry="independent")
    assert not independent.load_state_dict(coupled.state_dict(), strict=False).unexpected_keys
    for layer in independent.modules():
        if isinstance(layer, HighwayLayer) and layer.gate is not None:
            layer.carry.weight.copy_(-layer.gate.weight)
            layer.carry.bias.copy_(-layer.gate.bias)
    image = _image(coupled)
    assert torch.allclose(independent(image), coupled(image), rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_residual_gates_are_exclusive_with_the_opposite_weights() -> None:
    exclusive = _network("cifar_resnet8", gate="exclusive")
    independent = _network("cifar_resnet8", gate="independent")
    independent.load_state_dict(exclusive.state_dict(), strict=False)
    for unit in independent.units():
        unit.join.carry.weight.copy_(-unit.join.conv.weight)
        unit.join.carry.bias.copy_(-unit.join.conv.bias)
    image = _image(exclusive)
    assert torch.allclose(independent(image), exclusive(image), rtol=1e-9, atol=1e-9)


def _values(biases: list[torch.Tensor]) -> set[float]:
    return {value for bias in biases for value in bias.tolist()}


def test_gates_start_where_the_coupled_ones_do() -> None:
    network = build(get_spec("cifar_highway19", carry="independent"))
    gated = [each for each in network.modules() if isinstance(each, HighwayLayer) and each.gate is not None]
    assert _values([layer.gate.bias for layer in gated]) == {-2.0}
    assert _values([layer.carry.bias for layer in gated]) == {2.0}
    assert _values([build(get_spec("highway_mlp10", carry="independent", carry_bias=-1.0)).layer2.carry.bias]) == {-1.0}
    units = [*build(get_spec("cifar_resnet8", gate="independent")).units()]
    assert len(units) == 3
    assert all(isinstance(unit.join, IndependentSum) for unit in units)
    assert _values([unit.join.conv.bias for unit in units]) == {-6.0}
    assert _values([unit.join.carry.bias for unit in units]) == {6.0}


@pytest.mark.parametrize(("name", "edits"), [(name, {"carry": "independent"}) for name in HIGHWAYS])
def test_counts_grow_by_one_gate_a_layer(name: str, edits: dict) -> None:
    coupled, independent = inspect(get_spec(name)), inspect(get_spec(name, **edits))
    plain = inspect(get_spec(name, gates=False))
    assert independent.params - coupled.params == coupled.params - plain.params
    assert independent.macs - coupled.macs == coupled.macs - plain.macs
    drawn = [run.block.kind for section in sections(independent) for run in section.runs]
    assert drawn == [run.block.kind for section in sections(coupled) for run in section.runs]
    assert "gated" in drawn


def test_a_gated_residual_unit_is_drawn_as_gated() -> None:
    for gate in ("exclusive", "independent"):
        kinds = {
            run.block.kind
            for section in sections(inspect(get_spec("cifar_resnet8", gate=gate)))
            for run in section.runs
        }
        assert "gated" in kinds, gate
    scaled = sections(inspect(get_spec("cifar_resnet8", gate="constant", se_ratio=4)))
    assert "gated" not in {run.block.kind for section in scaled for run in section.runs}


def test_plain_layers_carry_nothing() -> None:
    for name in HIGHWAYS:
        with pytest.raises(InputError, match="carry='independent' with gates=False"):
            get_spec(name, carry="independent", gates=False)


def test_it_is_trained_saved_and_loaded(tmp_path: Path) -> None:
    from residua.training.loop import train
    from residua.weights.open import load

    run = train(
        "digits",
        "cifar_resnet8",
        out=tmp_path / "run",
        progress=False,
        model_edits={"gate": "independent"},
        max_steps=2,
        image_size=16,
        device="cpu",
        train_images=64,
    )
    again = load(tmp_path / "run")
    assert again.spec.gate == "independent"
    image = torch.rand(2, 3, 16, 16)
    assert torch.equal(again.model(image), run.model(image))
