"""The lecture's argument that a deeper network can copy a shallower one: row 94 of what the articles name."""

from __future__ import annotations

import torch
import torch.nn.functional as F

import residua
from residua.verification.peers import drawn


def test_row_94_a_deeper_network_copies_the_shallower_and_adds_identities() -> None:
    """Equal answers after 12 more layers, residual and plain, and no higher loss after training goes on."""
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8)
    for name in ("cifar_resnet8", "cifar_plain8"):
        shallow = residua.create_model(name)
        drawn(shallow, images)
        deep = residua.deepen(shallow, (3, 3, 3))
        assert shallow.spec.depth == 8
        assert deep.spec.depth == 20
        with torch.no_grad():
            logits = shallow(images)
            torch.testing.assert_close(deep(images), logits, rtol=1e-4, atol=1e-4 * float(logits.abs().max()))
            before = F.cross_entropy(logits, labels)
        optimizer = torch.optim.SGD(deep.parameters(), lr=0.01)
        for _ in range(10):
            optimizer.zero_grad()
            # In evaluation mode, in which both are equal at the start.
            F.cross_entropy(deep(images), labels).backward()
            optimizer.step()
        with torch.no_grad():
            assert F.cross_entropy(deep(images), labels) < before
