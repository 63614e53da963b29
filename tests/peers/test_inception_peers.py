"""timm's Inception-v4 and Inception-ResNet-v2: same keys, same weights, same logits."""

from __future__ import annotations

import copy

import pytest
import torch

from peers.randomised import randomised
from residua.weights.create import create_model

timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'residua[peers]'")

NAMES = ("inception_v4", "inception_resnet_v2")


def _image(size: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module", params=NAMES)
def named(request: pytest.FixtureRequest) -> tuple[str, torch.nn.Module]:
    """A network's name, and timm's."""
    torch.manual_seed(0)
    return request.param, randomised(timm.create_model(request.param, num_classes=10))


@torch.no_grad()
def test_logits(named: tuple[str, torch.nn.Module]) -> None:
    name, peer = named
    ours = create_model(name, num_classes=10).double().eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(peer.state_dict())
    # Odd and even sizes: what the unpadded windows leave out differs.
    for size in (96, 107):
        want, got = peer(_image(size)), ours(_image(size))
        assert want.std() > 1e-3
        assert ((got - want).abs().max() / want.abs().max()).item() <= 1e-12


def test_a_training_step_agrees(named: tuple[str, torch.nn.Module]) -> None:
    name, peer = named[0], copy.deepcopy(named[1]).train()
    ours = create_model(name, num_classes=10, dropout=0.0).double()
    ours.load_state_dict(peer.state_dict(), strict=True)
    for network in (peer, ours):
        network(_image(107, batch=3)).square().mean().backward()
    # The bias of Block8 has no gradient, since a BN follows that takes it away again: what both get there is rounding.
    largest = max(theirs.grad.abs().max().item() for theirs in peer.parameters())
    for (key, theirs), parameter in zip(peer.named_parameters(), ours.parameters(), strict=True):
        assert torch.allclose(parameter.grad, theirs.grad, rtol=1e-6, atol=1e-10 * largest), key
    for key, buffer in peer.named_buffers():
        assert torch.allclose(ours.get_buffer(key), buffer, rtol=1e-8, atol=1e-8), key
