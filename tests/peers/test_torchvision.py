"""torchvision's weights load with strict=True, and the logits agree."""

from __future__ import annotations

import pytest
import torch
import torchvision

from peers.randomised import randomised
from residua.weights.create import create_model

NAMES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"]
NAMES += ["resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"]


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_logits(name: str) -> None:
    peer = randomised(torchvision.models.get_model(name, weights=None))
    ours = create_model(name).double().eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(peer.state_dict())
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    want, got = peer(image), ours(image)
    assert want.std() > 1e-3
    assert ((got - want).abs().max() / want.abs().max()).item() <= 1e-12


@torch.no_grad()
def test_the_stride_site_matters() -> None:
    """He's own placement with torchvision's weights is another network: the test above would see it."""
    peer = randomised(torchvision.models.resnet50(weights=None))
    ours = create_model("resnet50_v1").double().eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    image = torch.randn(1, 3, 96, 96, dtype=torch.float64)
    assert ((ours(image) - peer(image)).abs().max() / peer(image).abs().max()).item() > 1e-3
