"""torchvision's and timm's dense networks: same keys, same weights, same logits, same training step."""

from __future__ import annotations

import pytest
import torch
import torchvision

from peers.randomised import randomised
from residua.weights.create import create_model


def _image(size: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _agree(peer: torch.nn.Module, name: str) -> None:
    ours = create_model(name).double().eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(peer.state_dict())
    with torch.no_grad():
        want, got = peer(_image(64)), ours(_image(64))
    assert want.std() > 1e-3
    assert ((got - want).abs().max() / want.abs().max()).item() <= 1e-12


@pytest.mark.parametrize("depth", [121, 161])
def test_torchvision(depth: int) -> None:
    _agree(randomised(torchvision.models.get_model(f"densenet{depth}", weights=None)), f"densenet{depth}")


def test_timm() -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'residua[peers]'")
    _agree(randomised(timm.create_model("densenet121")), "densenet121")


@pytest.mark.parametrize("recompute", [False, True])
def test_a_training_step_agrees(recompute: bool) -> None:
    """Batch statistics, gradients and running statistics too, with either way of keeping what backward needs."""
    torch.manual_seed(0)
    peer = randomised(torchvision.models.densenet121(weights=None, num_classes=10)).train()
    ours = create_model("densenet121", num_classes=10, recompute=recompute).double()
    ours.load_state_dict(peer.state_dict(), strict=True)
    for network in (peer, ours):
        network(_image(32, batch=4)).square().mean().backward()
    for (name, theirs), parameter in zip(peer.named_parameters(), ours.parameters(), strict=True):
        # Normalisation over four values (one pixel, four images) magnifies rounding.
        assert torch.allclose(parameter.grad, theirs.grad, rtol=1e-6, atol=1e-8 * theirs.grad.abs().max().item()), name
    for name, buffer in peer.named_buffers():
        assert torch.allclose(ours.get_buffer(name), buffer, rtol=1e-9), name
