"""Grad-CAM of answers: as many at a time as do not hold up predictions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from residua.data.decode import Pixels
from residua.serving.model import ModelVersion
from residua.serving.networks.network import Picture
from residua.serving.refusal import Refusal
from residua.serving.service import Service

MOST = 8
"""Explanations of one request: each takes as long as three forward passes."""
_WAITING = 16


async def overlays(
    service: Service, version: ModelVersion, pixels: Sequence[Pixels], targets: Sequence[int]
) -> list[Picture]:
    """Return for each image the picture that the network saw and the evidence laid over it.

    Args:
        service: its one thread explains, so that explanations never hold up predictions of other requests for long.
        version: the model.
        pixels: uint8 (H, W, 3), as the network sees them.
        targets: the class to explain of each.

    Raises:
        Refusal: too many explanations wait.
    """
    if service.explanations + len(pixels) > _WAITING:
        raise Refusal(503, "too many explanations wait", "queue_full", {"Retry-After": "5"})
    service.explanations += len(pixels)
    work = [
        asyncio.ensure_future(version.explained(service.explaining, image, target))
        for image, target in zip(pixels, targets, strict=True)
    ]
    try:
        return list(await asyncio.gather(*work))
    finally:
        service.explanations -= len(pixels)
        for each in work:
            each.cancel()
