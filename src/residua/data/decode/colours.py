"""Every mode of Pillow to RGB."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageCms

from residua.data.decode.bad_image import Pixels
from residua.data.decode.beyond.deep_colour import is_deep, to_eight_bits
from residua.data.decode.depth import Range, range_of
from residua.data.decode.orientation import orientation_left, upright

_BAND_PIXELS = 1 << 20
"""Pixels to convert at a time: the memory of a conversion is then small beside that of the image."""

_UNUSED_ALPHA = frozenset(("BMP", "TGA"))
"""Formats in which writers leave a fourth byte that they do not use, mostly zero."""


def rgb_of(image: Image.Image, name: str = "the image") -> Pixels:
    """Return the pixels of an image that Pillow has opened: uint8 (H, W, 3), RGB, upright.

    Raises:
        BadImage: values whose range is not defined.
        Exception: whatever Pillow raises while it loads the pixels.
    """
    opened = image
    if is_deep(image):
        image = to_eight_bits(image, name)
    image.load()
    convert = _conversion(image, name)
    width, height = image.size
    rows = max(1, _BAND_PIXELS // max(width, 1))
    if rows >= height:
        pixels = convert(image)
    else:
        pixels = np.empty((height, width, 3), np.uint8)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            pixels[top:bottom] = convert(image.crop((0, top, width, bottom)))
    return upright(pixels, orientation_left(opened))


def _conversion(image: Image.Image, name: str) -> Callable[[Image.Image], Pixels]:
    mode = image.mode
    if mode.startswith("I;16") or mode in ("I", "F"):
        return partial(_deep_grey, scale=range_of(image, name), key=image.info.get("transparency"))
    if mode == "LAB":
        profiles = (ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"))
        transform = ImageCms.buildTransform(*profiles, "LAB", "RGB")
        return lambda band: np.asarray(ImageCms.applyTransform(band, transform))
    if image.has_transparency_data and not _alpha_is_unused(image):
        return _over_white
    return _opaque


def _deep_grey(band: Image.Image, *, scale: Range, key: object) -> Pixels:
    values = np.asarray(band)
    grey = scale.to_bytes(values)
    if isinstance(key, int):
        grey[values == key] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)


def _opaque(band: Image.Image) -> Pixels:
    return np.asarray(band if band.mode == "RGB" else band.convert("RGB"))


def _over_white(band: Image.Image) -> Pixels:
    # Pillow turns La into RGBA by way of L, which has no alpha.
    colours = (band.convert("LA") if band.mode == "La" else band).convert("RGBA")
    white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, colours).convert("RGB"))


def _alpha_is_unused(image: Image.Image) -> bool:
    if image.format not in _UNUSED_ALPHA:
        return False
    if image.format == "TGA" and image.info.get("attribute bits", 8) == 0:
        return True
    if image.mode == "P":
        return not any((image.getpalette("RGBA") or [])[3::4])
    return image.mode in ("RGBA", "LA") and image.getextrema()[-1] == (0, 0)
