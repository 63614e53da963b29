"""Grad-CAM of answers, as pictures in data URIs."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from residua.data.decode import Pixels
from residua.explanation.layers import has_maps
from residua.explanation.methods import attribute
from residua.families.network import Classifier
from residua.figures.overlay import overlay, shown
from residua.inference.stream import as_batch
from residua.serving.model import ModelVersion
from residua.serving.refusal import Refusal
from residua.serving.service import Service

MOST = 8
"""Explanations of one request: each takes as long as three forward passes."""
_SIDE = 448
_WAITING = 16


async def overlays(
    service: Service, version: ModelVersion, pixels: Sequence[Pixels], targets: Sequence[int]
) -> list[dict[str, Any]]:
    """Return for each image the picture that the network saw and the evidence laid over it.

    Args:
        service: its one thread explains, so that explanations never hold up predictions of other requests for long.
        version: the model.
        pixels: uint8 (H, W, 3), as the network sees them.
        targets: the class to explain of each.

    Raises:
        Refusal: too many explanations wait.
    """
    height, width = version.predictor.run.preprocess_spec.size
    if not has_maps(version.predictor.run.spec, height, width):
        return [{"overlay": None, "image": None, "method": None, "evidence": 0.0} for _ in pixels]
    if service.explanations + len(pixels) > _WAITING:
        raise Refusal(503, "too many explanations wait", "queue_full", {"Retry-After": "5"})
    service.explanations += len(pixels)
    loop = asyncio.get_running_loop()
    work = [
        loop.run_in_executor(service.explaining, _explained, version, image, target)
        for image, target in zip(pixels, targets, strict=True)
    ]
    try:
        return list(await asyncio.gather(*work))
    finally:
        service.explanations -= len(pixels)
        for each in work:
            each.cancel()


def _explained(version: ModelVersion, image: Pixels, target: int) -> dict[str, Any]:
    run = version.predictor.run
    model = run.model
    assert isinstance(model, Classifier)
    device = next(model.parameters()).device
    batch = as_batch([image], run.preprocess_spec, device)
    attribution = attribute("gradcam", model, batch, run.preprocess_spec, torch.tensor([target], device=device))
    evidence = attribution.maps[0].to("cpu", torch.float32).numpy()
    return {
        "overlay": _uri(overlay(image, evidence, _SIDE)),
        "image": _uri(shown(image, _SIDE)),
        "method": f"gradcam of {attribution.layer}",
        "evidence": float(evidence.max()),
    }


def _uri(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
