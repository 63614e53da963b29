"""Open an image with Pillow: the header is read and checked, the pixels are not yet decoded."""

from __future__ import annotations

import io
import logging

from PIL import Image

from residua.data.decode import tiff
from residua.data.decode.bad_image import BadImage, check_size, plain
from residua.data.decode.depth import SIGNIFICANT_BITS
from residua.data.decode.formats import check_known, opener
from residua.data.decode.png import essential

# Where the caller has set up no logging, Python would print Pillow's complaints, without the file's name, on stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def open_image(data: bytes, name: str = "the image") -> Image.Image:
    """Open an image with Pillow, its pixels not yet decoded.

    Raises:
        BadImage: a format that is not read, a corrupt header, or above 100 million pixels.
    """
    form = check_known(data, name)
    factory = opener(form, name)
    png = essential(data, name) if form == "PNG" else None
    try:
        if form == "TIFF":
            image = tiff.open_tiff(factory, data, name)
        else:
            image = factory(io.BytesIO(png.data if png else data), "")
    except BadImage:
        raise
    except Exception as error:  # Plugins raise what they like: it is this file's fault whatever it is.
        reason = f"corrupt header of a {form} ({plain(error)})"
        raise BadImage(name, tiff.refusal(data, error) if form == "TIFF" else reason) from None
    try:
        check_size(*stored_size(image), name)
    except BadImage:
        image.close()
        raise
    if png is not None:
        image.info[SIGNIFICANT_BITS] = png.significant_bits
        if png.key is not None:
            image.info["transparency"] = png.key
    elif form == "TGA":
        image.info["attribute bits"] = data[17] & 15
    return image


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) before any turning; Pillow gives the size of a TIFF as it will be after it."""
    tags = getattr(image, "tag_v2", {})
    try:
        return int(tags[257]), int(tags[256])
    except (KeyError, TypeError, ValueError):
        return image.height, image.width
