"""Pictures inside pages: small images as data URIs."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 160
"""Side of a thumbnail, pixels."""
_SMALL = 64  # pixels: up to there an image is enlarged with its pixels visible


def thumbnail_uri(pixels: npt.NDArray[np.uint8], side: int = SIDE) -> str:
    """Return an image uint8 (H, W, 3) as a data URI: as a PNG up to 64 pixels, else as a JPEG of at most `side`."""
    picture = Image.fromarray(pixels)
    stream = io.BytesIO()
    if max(picture.size) <= _SMALL:
        picture.save(stream, "PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((side, side))
        picture.save(stream, "JPEG", quality=82, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
