"""Corrupt images as published: one function for all 15 kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from residua.data.corruptions import blur, digital, noise, weather
from residua.data.corruptions.draws import Draws
from residua.data.corruptions.names import check_size, checked_names, checked_severities, constants
from residua.data.corruptions.planes import Bytes

VERSION = 1
"""Of the definitions: raised when any of them gives other pixels, so that scores of older ones are not found."""
_KINDS: dict[str, Callable[[Bytes, Any, Draws], Bytes]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}


def corrupt(images: Bytes, name: str, severity: int, indices: npt.ArrayLike, *, seed: int = 0) -> Bytes:
    """Return the images corrupted: uint8 (B, 3, H, W), the same for the same (seed, index, corruption, severity).

    Each kind equals the published definition for the constants of `residua.data.corruptions.names`, up to a level in
    few values; see docs/proofs/corruptions.md. Frost alone differs: it is drawn, where photographs were pasted. The
    published ImageNet-C was stored as JPEG of quality 85 after that; no image is here.

    Args:
        images: uint8 (B, 3, H, W), as the network would see them: after resize and crop, before normalisation.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.
        indices: (B,), what sets the images' randomness apart.
        seed: of all randomness.

    Raises:
        InputError: an unknown name, another severity, sides below 32 or above 512 pixels.
    """
    (kind,) = checked_names([name])
    (level,) = checked_severities([severity])
    size = (images.shape[2], images.shape[3])
    check_size(size)
    return _KINDS[kind](images, constants(kind, level, size), Draws(kind, level, indices, seed))
