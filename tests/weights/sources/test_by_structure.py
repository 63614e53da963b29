"""`by_structure`: the one match that fits is loaded; what several fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

import residua
from articles import tutorial
from residua._base.errors import InputError
from residua.cli.app import main
from residua.specs.catalog import get_spec
from residua.weights.sources.by_structure import also_fits, match_by_structure

State = dict[str, Tensor]
SMALL = {"depths": (2, 1, 1), "widths": (8, 16, 32), "stem_width": 8, "shortcut": "projection"}


def _saved(state: State, path: Path) -> Path:
    torch.save(state, path)
    return path


def _network(**edits: object) -> torch.nn.Module:
    torch.manual_seed(0)
    network = residua.create_model("cifar_resnet8", **SMALL | edits)
    for name, tensor in network.state_dict().items():
        tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape) + len(name))
    return network


def _renamed(state: State, *pairs: tuple[str, str]) -> State:
    renamed = {}
    for name, tensor in state.items():
        for ours, theirs in pairs:
            name = name.replace(ours, theirs)
        renamed[name] = tensor
    return renamed


HOME_MADE = (("layer", "blocks."), ("downsample.0", "skip"), ("bn", "norm"), ("fc", "head"), ("conv1.w", "conv1.w"))


def test_words_of_ones_own_are_matched(tmp_path: Path) -> None:
    network = _network(projection_norm=False)
    path = _saved(_renamed(network.state_dict(), *HOME_MADE), tmp_path / "a.pth")
    match = match_by_structure(path, get_spec("cifar_resnet8", **SMALL, projection_norm=False))
    assert match.modules["blocks.2.0.skip"] == "layer2.0.downsample.0"
    assert match.tensors.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(match.tensors[name], tensor), name


def test_classes_and_channels_follow_the_file(tmp_path: Path) -> None:
    network = _network(projection_norm=False, num_classes=7, in_channels=1)
    path = _saved(_renamed(network.state_dict(), *HOME_MADE), tmp_path / "a.pth")
    spec = match_by_structure(path, get_spec("cifar_resnet8", **SMALL, projection_norm=False)).spec
    assert (spec.num_classes, spec.in_channels) == (7, 1)


def test_a_norm_that_may_be_the_projections_is_refused(tmp_path: Path) -> None:
    """Where a unit has one norm of the branch of this width and one of the projection, their words decide nothing."""
    edits = {"unit": "bottleneck", "expansion": 2}
    state = _renamed(_network(**edits).state_dict(), ("downsample.1", "skip_norm"), ("downsample.0", "skip"))
    with pytest.raises(InputError, match=r"could each be several of layer1\.0's"):
        match_by_structure(_saved(state, tmp_path / "a.pth"), get_spec("cifar_resnet8", **SMALL | edits))


def test_two_norms_of_the_branch_leave_the_third_to_the_projection(tmp_path: Path) -> None:
    """Wherever it was defined: before the branch's here."""
    network = _network()
    state = _renamed(network.state_dict(), ("downsample.1", "skip_norm"), ("downsample.0", "skip"))
    first = {name: tensor for name, tensor in state.items() if name.startswith("layer2.0.skip_norm")}
    at = list(state).index("layer2.0.conv1.weight")
    moved = dict([*list(state.items())[:at], *first.items(), *list(state.items())[at:]])
    match = match_by_structure(_saved(moved, tmp_path / "a.pth"), get_spec("cifar_resnet8", **SMALL))
    assert match.modules["layer2.0.skip_norm"] == "layer2.0.downsample.1"
    assert torch.equal(match.tensors["layer2.0.bn1.weight"], network.get_parameter("layer2.0.bn1.weight"))


def test_numbers_against_the_order_are_refused(tmp_path: Path) -> None:
    state = _network(projection_norm=False).state_dict()
    swapped = _renamed(state, ("layer1.0", "layer1.X"), ("layer1.1", "layer1.0"), ("layer1.X", "layer1.1"))
    with pytest.raises(InputError, match=r"layer1\.0\.\w+ comes after layer1\.1\.\w+ in the file"):
        match_by_structure(
            _saved(swapped, tmp_path / "a.pth"), get_spec("cifar_resnet8", **SMALL, projection_norm=False)
        )


def test_units_that_are_spread_are_refused(tmp_path: Path) -> None:
    """The stem's norm defined last takes the place of a unit's: all counts fit, and the units would be torn."""
    state = _renamed(_network(projection_norm=False).state_dict(), ("layer", "blocks."))
    last = {name: state.pop(name) for name in list(state) if name.startswith("bn1.")}
    with pytest.raises(InputError, match=r"could each be several|are spread over"):
        match_by_structure(
            _saved(state | _renamed(last, ("bn1", "zz")), tmp_path / "a.pth"),
            get_spec("cifar_resnet8", **SMALL, projection_norm=False),
        )


def test_safetensors_keeps_no_order(tmp_path: Path) -> None:
    state = tutorial.drawn(18)
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    # The stem's norm is missing in this network, so that numbers alone order all others.
    match = match_by_structure(path, get_spec("resnet18_plainstem"))
    assert match.modules["4.1.bn2"] == "layer4.1.bn2"
    network = _network(projection_norm=False)
    safetensors.torch.save_file(_renamed(network.state_dict(), *HOME_MADE), path)
    with pytest.raises(InputError, match="safetensors keeps no order, and"):
        match_by_structure(path, get_spec("cifar_resnet8", **SMALL, projection_norm=False))


@pytest.mark.parametrize(
    ("model", "asked", "others"),
    [
        ("cifar_resnet8", "cifar_plain8", {"cifar_resnet8"}),
        ("cifar_resnet8", "cifar_resnet8", {"cifar_plain8"}),
        ("resnet18_plainstem", "resnet18_plainstem", set()),
        ("cifar_resnet20", "cifar_plain20", {"cifar_resnet20"}),
    ],
)
def test_networks_that_weights_do_not_tell_apart_are_named(
    tmp_path: Path, model: str, asked: str, others: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Shortcuts without weights and places of strides are in no file."""
    state = residua.create_model(model, num_classes=3).state_dict()
    path = _saved(_renamed(state, ("layer", "blocks.")), tmp_path / "a.pth")
    assert set(also_fits(path, get_spec(asked))) == others
    if asked == "cifar_plain8":
        words = ["convert", str(path), "--model", asked, "--by-structure", "--out", str(tmp_path / "run")]
        assert main(words) == 0
        assert "The file also fits cifar_resnet8; weights cannot tell them apart." in capsys.readouterr().err


def test_other_layers_are_counted_and_the_network_that_has_them_is_named(tmp_path: Path) -> None:
    path = _saved(tutorial.drawn(18), tmp_path / "a.pth")
    with pytest.raises(InputError, match="6 instead of 7 of norms 64") as caught:
        match_by_structure(path, get_spec("resnet18", depths=(3, 2, 2, 2), bias=("stem", "inner", "last")))
    assert "use model='resnet18_plainstem'" in str(caught.value)
