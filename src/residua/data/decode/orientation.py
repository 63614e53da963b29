"""How an image is to be turned, and turning it."""

from __future__ import annotations

import numpy as np
from PIL import ExifTags, Image

from residua.data.decode.bad_image import Pixels


def orientation_left(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied, 1 (upright) to 8; a damaged one counts as 1.

    Pillow itself turns a TIFF while it loads the pixels: ask after loading.
    """
    try:
        value = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1
    return value if 1 <= value <= 8 else 1


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn (H, W, 3) as stored into (H, W, 3) as meant; EXIF 2.3, tag 0x0112."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
