"""A run's weights for torchvision and timm: every twin both ways, and the file that the peer loads strictly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from residua._base.errors import InputError
from residua.cli.app import main
from residua.families.build import build
from residua.families.members import state_shapes
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.value import Bundle
from residua.weights.convert import convert
from residua.weights.open import load
from residua.weights.peers.same_network import PEER_NETWORKS
from residua.weights.peers.to_peer import PEERS, write_for
from residua.weights.run import Run
from residua.weights.sources.read_source import get_source
from weights.bundles import tiny_model, tiny_spec

SHAPES = dict[str, tuple[int, ...]]


def shapes(state: dict[str, torch.Tensor]) -> SHAPES:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def peers_state(peer: str, name: str, spec: Any) -> dict[str, torch.Tensor]:
    """The state dict of the peer's network, on the meta device."""
    library = pytest.importorskip(peer)
    with torch.device("meta"):
        if peer == "timm":
            network = library.create_model(name, num_classes=spec.num_classes)
        else:
            aux = getattr(spec, "aux_heads", None)
            options = {} if aux is None else {"aux_logits": aux, "init_weights": False, "transform_input": False}
            network = library.models.get_model(name, weights=None, num_classes=spec.num_classes, **options)
    state: dict[str, torch.Tensor] = network.state_dict()
    return state


def numbered(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of these shapes that hold their place in the state dict and next to no memory."""
    return {key: torch.tensor(float(place)).expand(tensor.shape) for place, (key, tensor) in enumerate(state.items())}


def first(tensor: torch.Tensor) -> float:
    return float(tensor[(0,) * tensor.ndim])


@pytest.mark.parametrize(("peer", "name"), [(peer, name) for peer in PEERS for name in PEER_NETWORKS[peer]])
def test_every_twin_both_ways(peer: str, name: str) -> None:
    network, target = PEER_NETWORKS[peer][name], get_source(peer)
    spec = get_spec(name, num_classes=5, **network.edits)
    theirs = numbered(peers_state(peer, network.name, spec))
    assert target.adapt(spec, theirs) == spec
    ours = target.to_ours(spec, theirs)
    assert shapes(ours) == shapes(state_shapes(spec))
    back = target.from_ours(spec, ours)  # type: ignore[misc]
    assert shapes(back) == shapes(theirs)
    assert all(first(back[key]) == first(tensor) for key, tensor in theirs.items())
    if hasattr(spec, "head"):
        conv = spec.edit(head="conv")
        turned = target.to_ours(conv, theirs)
        assert shapes(turned) == shapes(state_shapes(conv))
        assert shapes(target.from_ours(conv, turned)) == shapes(theirs)  # type: ignore[attr-defined]


@pytest.fixture
def run() -> Run:
    """A run of a network that timm and torchvision have, that lies in no folder."""
    pytest.importorskip("timm")
    spec = get_spec("resnet18", num_classes=2)
    torch.manual_seed(1)
    model = build(spec).eval()
    return Run(model, Bundle(Path("nowhere"), spec, ("a", "b"), PreprocessSpec(64, 72)))


@pytest.mark.parametrize(("peer", "ending"), [("timm", ".safetensors"), ("torchvision", ".pth")])
@torch.no_grad()
def test_the_weights_are_the_models_now_and_the_code_loads_them(
    run: Run, peer: str, ending: str, tmp_path: Path
) -> None:
    library = pytest.importorskip(peer)
    run.model.fc.bias.fill_(7.0)  # type: ignore[union-attr, operator]
    written = write_for(run, peer, tmp_path / f"w{ending}")
    assert (written.classes, written.preprocess.resize, written.model) == (("a", "b"), 72, "resnet18")
    scope: dict[str, Any] = {peer: library, "safetensors": safetensors, "torch": torch}
    exec(written.code, scope)
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(scope["model"].eval()(image), run.model(image))


def test_what_cannot_be_written_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one of torchvision, timm"):
        write_for(run, "keras", tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        write_for(run, "timm", tmp_path / "w.h5")
    for edits in ({"output_stride": 8}, {"bn_eps": 1e-3}):
        edited = replace(run, bundle=replace(run.bundle, spec=run.spec.edit(**edits)))
        with pytest.raises(InputError, match="would compute something else"):
            write_for(edited, "timm", tmp_path / "w.pth")
    run.model.fc = torch.nn.Linear(512, 3)
    with pytest.raises(InputError, match="no longer fits"):
        write_for(run, "timm", tmp_path / "w.pth")
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_what_the_peer_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "w.pth")
    convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run", source="torchvision", image_size=16)
    words = ["convert", str(tmp_path / "run"), "--to", "timm", "--out", str(tmp_path / "o.pth")]
    assert main(words) == 2
    assert "which has no network that computes the same" in capsys.readouterr().err
    assert load(tmp_path / "run").spec.name == "cifar_resnet8"
