"""Explanations as thumbnails, of which a page holds dozens."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from residua.data.decode import Pixels
from residua.data.preprocess.normalise import normalise
from residua.explanation.activation_maps import grad_cam
from residua.explanation.layers import has_maps
from residua.families.network import Classifier
from residua.figures.overlay import overlay
from residua.figures.pictures import SIDE
from residua.specs.preprocess import PreprocessSpec


def overlay_uris(
    model: torch.nn.Module,
    pixels: Sequence[Pixels],
    classes: Sequence[int],
    preprocess: PreprocessSpec,
    *,
    side: int = SIDE,
    batch_size: int = 8,
) -> list[str]:
    """Return Grad-CAM of each image for its class, laid over the image, as a small JPEG in a data URI.

    Args:
        model: a network; for one without feature maps, or not built by Residua, every answer is "".
        pixels: uint8 (H, W, 3), as `apply_uint8` gives them.
        classes: one index per image.
        preprocess: the transform that normalises images for the network.
        side: side of the thumbnails, pixels.
        batch_size: images per pass.
    """
    if not pixels or not isinstance(model, Classifier) or not has_maps(model.spec, *pixels[0].shape[:2]):
        return [""] * len(pixels)
    parameter = next(model.parameters())
    uris = []
    for start in range(0, len(pixels), batch_size):
        some = pixels[start : start + batch_size]
        stacked = torch.from_numpy(np.stack(some).transpose(0, 3, 1, 2)).to(parameter.device)
        targets = torch.tensor(classes[start : start + batch_size], device=parameter.device)
        maps = (
            grad_cam(model, normalise(stacked, preprocess, dtype=parameter.dtype), targets).maps.float().cpu().numpy()
        )
        uris += [_uri(overlay(image, field, side)) for image, field in zip(some, maps, strict=True)]
    return uris


def _uri(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
