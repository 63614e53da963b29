"""timm's weights load, under its own names or one rename, and the logits agree."""

from __future__ import annotations

import pytest
import torch

from peers.randomised import randomised
from residua.specs.catalog import get_spec
from residua.weights.create import create_model
from residua.weights.sources.read_source import get_source

timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'residua[peers]'")


# The largest networks with few units a stage, each kind of unit among them; their depths stand in their records.
FEW = (1, 2, 1, 1)


def _ours_from(peer: torch.nn.Module, name: str, **edits: object) -> dict[str, torch.Tensor]:
    """The peer's tensors by the rules that `residua convert` goes by."""
    return get_source("timm").to_ours(get_spec(name, **edits), peer.state_dict())


def _agree(peer: torch.nn.Module, ours: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    # Assigned, not copied: a second SENet-154 in float64 would take a gigabyte.
    ours.load_state_dict(state, strict=True, assign=True)
    ours.eval()
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    # The layout of ours: with random weights SE-ResNet-152 magnifies rounding, and timm's own logits move by 1e-8 of
    # the largest, sometimes more, when the same image lies in another.
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        want, got = peer(image), ours(image)
    assert ((got - want).abs().max() / want.abs().max()).item() <= 1e-12


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "seresnet50"])
def test_same_names(name: str) -> None:
    peer = randomised(timm.create_model(name))
    _agree(peer, create_model(name), peer.state_dict())


@pytest.mark.filterwarnings("ignore::residua._base.errors.Notice")
@pytest.mark.parametrize("name", ["resnet50c", "seresnext50_32x4d"])
def test_names_that_stand_for_edits(name: str) -> None:
    """Of timm alone; ours is another row with a field changed."""
    peer = randomised(timm.create_model(name, layers=FEW))
    _agree(peer, create_model(name, depths=FEW), peer.state_dict())


@pytest.mark.parametrize("depth", [18, 50])
def test_pre_activated(depth: int) -> None:
    peer = randomised(timm.create_model(f"resnetv2_{depth}"))
    name = f"resnet{depth}_v2"
    _agree(peer, create_model(name, head="conv"), _ours_from(peer, name, head="conv"))


@pytest.mark.parametrize("name", ["seresnet50", "senet154"])
def test_squeeze_and_excitation_as_its_authors_have_it(name: str) -> None:
    peer = randomised(timm.create_model(f"legacy_{name}", layers=FEW))
    ours = name if name == "senet154" else f"{name}_v1"
    _agree(peer, create_model(ours, depths=FEW), _ours_from(peer, ours, depths=FEW))


def test_senet154_in_the_newer_form() -> None:
    """timm's own senet154 differs in the pool alone."""
    peer = randomised(timm.create_model("senet154", layers=FEW))
    _agree(peer, create_model("senet154", depths=FEW, pool_padding="symmetric"), peer.state_dict())


@pytest.mark.parametrize("size", [96, 97, 113, 130])
def test_caffes_pool_at_every_size(size: int) -> None:
    """TensorFlow's SAME agrees with Caffe's ceil mode at even sizes alone; the authors' networks have Caffe's."""
    peer = randomised(timm.create_model("legacy_seresnet50", layers=FEW))
    ours = create_model("seresnet50_v1", depths=FEW)
    ours.load_state_dict(_ours_from(peer, "seresnet50_v1", depths=FEW), assign=True)
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        want, got = peer(image), ours.eval()(image)
    assert ((got - want).abs().max() / want.abs().max()).item() <= 1e-12


def test_pre_activated_names_are_timms_own_depths() -> None:
    """A depth that timm adds asks for a row here."""
    found = {name for name in timm.list_models("resnetv2_*") if name.removeprefix("resnetv2_").isdigit()}
    assert found == {f"resnetv2_{depth}" for depth in (18, 34, 50, 101, 152)}
