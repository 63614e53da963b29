"""torchvision's weights load with strict=True, and the logits agree."""

from __future__ import annotations

import pytest
import torch
import torchvision

from peers.randomised import randomised
from residua.weights.create import create_model

# One of each structure; `residua verify` compares every name.
NAMES = ["resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d", "alexnet", "vgg11", "vgg11_bn"]


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


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
@pytest.mark.parametrize("norm", ["", "_bn"])
def test_names_and_shapes_of_every_vgg(depth: int, norm: str) -> None:
    name = f"vgg{depth}{norm}"
    with torch.device("meta"):
        peer, ours = torchvision.models.get_model(name, weights=None), create_model(name)
    wanted = {key: value.shape for key, value in peer.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == wanted


@pytest.mark.parametrize("name", ["alexnet", "vgg11_bn"])
def test_layers_start_as_the_peers(name: str) -> None:
    """Mean and deviation of each layer's fresh weights and biases are torchvision's."""
    torch.manual_seed(0)
    peer, ours = torchvision.models.get_model(name, weights=None), create_model(name)
    for (key, want), got in zip(peer.state_dict().items(), ours.state_dict().values(), strict=True):
        want, got = want.double(), got.double()
        spread = max(want.std(unbiased=False).item(), 0.0)
        assert abs(got.std(unbiased=False).item() - spread) <= 0.25 * spread, key
        assert abs(got.mean() - want.mean()).item() <= 0.5 * spread, key


@torch.no_grad()
def test_the_stride_site_matters() -> None:
    """He's own placement with torchvision's weights is another network: the test above would see it."""
    peer = randomised(torchvision.models.resnet50(weights=None))
    ours = create_model("resnet50_v1").double().eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    image = torch.randn(1, 3, 96, 96, dtype=torch.float64)
    assert ((ours(image) - peer(image)).abs().max() / peer(image).abs().max()).item() > 1e-3
