"""Pictures made on the spot."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

MakeFolder = Callable[..., Path]
"""make(name, {"ants": 3}, size=(24, 32), suffix=".jpg") -> folder, with so many pictures a class."""


def picture(seed: int, height: int = 24, width: int = 32) -> Image.Image:
    """Return smooth random colours: like a photo, it survives JPEG and differs from every other."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Return the bytes of a file of this format."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()
