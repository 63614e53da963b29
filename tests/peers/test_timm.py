"""timm's weights load, under its own names or one rename, and the logits agree."""

from __future__ import annotations

import pytest
import torch

from peers.randomised import randomised
from residua.weights.create import create_model

timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'residua[peers]'")


def _agree(peer: torch.nn.Module, ours: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    ours = ours.double().eval()
    ours.load_state_dict(state, strict=True)
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        want, got = peer(image), ours(image)
    assert ((got - want).abs().max() / want.abs().max()).item() <= 1e-12


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "seresnet50", "wide_resnet50_2"])
def test_same_names(name: str) -> None:
    peer = randomised(timm.create_model(name))
    _agree(peer, create_model(name), peer.state_dict())


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_pre_activated(depth: int) -> None:
    peer = randomised(timm.create_model(f"resnetv2_{depth}"))
    _agree(peer, create_model(f"resnet{depth}_v2", head="conv"), _ours_from_resnetv2(peer.state_dict()))


def _ours_from_resnetv2(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    renamed = {}
    for key, value in state.items():
        if key.startswith("stages."):
            _, stage, _, block, rest = key.split(".", 4)
            rest = rest.replace("norm", "bn").replace("downsample.conv", "downsample.0")
            key = f"layer{int(stage) + 1}.{block}.{rest}"
        renamed[key.replace("stem.conv", "conv1").replace("head.fc", "fc")] = value
    return renamed


def test_squeeze_and_excitation_as_its_authors_stride_it() -> None:
    peer = randomised(timm.create_model("legacy_seresnet50"))
    state = {}
    for key, value in peer.state_dict().items():
        for old, new in (("layer0.", ""), ("se_module", "se"), ("last_linear", "fc")):
            key = key.replace(old, new)
        state[key] = value
    _agree(peer, create_model("seresnet50_v1"), state)
