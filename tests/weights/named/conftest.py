"""A server in the Hub's place, and weights for it to serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from servers import Behaviour, serving


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A server in the Hub's place, an empty cache, and no time to lose between attempts."""
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("residua._base.web.http.time.sleep", lambda _: None)
    for name in ("RESIDUA_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture(scope="module")
def resnet18() -> dict[str, torch.Tensor]:
    """A state dict of torchvision's ResNet-18, in half precision to be small."""
    torch.manual_seed(5)
    from torchvision.models import resnet18

    state = resnet18().state_dict()
    return {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
