"""How an image is to be turned, and turning it."""

from __future__ import annotations

import numpy as np
from PIL import ExifTags, Image

from residua.data.decode.bad_image import Pixels


def orientation_left(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied, 1 (upright) to 8; a damaged one counts as 1.

    Decodes no pixels, so that it can be asked before their memory is counted. Pillow itself turns a TIFF while it
    loads the pixels: ask again after loading.
    """
    try:
        value = int(_header(image).getexif().get(ExifTags.Base.Orientation, 1))
    except MemoryError:
        raise
    except Exception:
        return 1
    return value if 1 <= value <= 8 else 1


def _header(image: Image.Image) -> Image.Image:
    """Return an image of the same metadata whose `getexif` decodes nothing: that of a PNG without EXIF decodes all."""
    if image.format != "PNG":
        return image
    header = Image.new("1", (1, 1))
    header.info = image.info
    return header


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
