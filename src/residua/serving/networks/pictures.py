"""Grad-CAM of answers by torch, as pictures in data URIs."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image

from residua.data.decode import Pixels
from residua.explanation.layers import has_maps
from residua.explanation.methods import attribute
from residua.families.network import Classifier
from residua.figures.overlay import overlay, shown
from residua.inference.stream import as_batch
from residua.serving.networks.network import Picture, unexplained
from residua.weights.run import Run

_SIDE = 448


def explains(run: Run) -> bool:
    """Return whether the network of a run has maps to weight."""
    height, width = run.preprocess_spec.size
    return has_maps(run.spec, height, width)


def explained(run: Run, image: Pixels, target: int) -> Picture:
    """Return the evidence for class `target` in an image as the network sees it, uint8 (H, W, 3)."""
    if not explains(run):
        return unexplained("This network has no feature maps to explain.")
    model = run.model
    assert isinstance(model, Classifier)
    device = next(model.parameters()).device
    batch = as_batch([image], run.preprocess_spec, device)
    attribution = attribute("gradcam", model, batch, run.preprocess_spec, torch.tensor([target], device=device))
    evidence: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = attribution.maps[0].to("cpu", torch.float32).numpy()
    return Picture(
        overlay=_uri(overlay(image, evidence, _SIDE)),
        image=_uri(shown(image, _SIDE)),
        method=f"gradcam of {attribution.layer}",
        evidence=float(evidence.max()),
        note=None,
    )


def _uri(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
