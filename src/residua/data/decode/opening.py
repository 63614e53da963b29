"""Open an image with Pillow: the header is read and checked, the pixels are not yet decoded."""

from __future__ import annotations

import io
import logging
import re

from PIL import Image

from residua.data.decode import tiff
from residua.data.decode.bad_image import BadImage, check_size, plain
from residua.data.decode.beyond.bmp import open_bmp
from residua.data.decode.beyond.deep_colour import DEEP_KEY
from residua.data.decode.depth import SIGNIFICANT_BITS
from residua.data.decode.formats import check_known, opener
from residua.data.decode.png import essential

# Where the caller has set up no logging, Python would print Pillow's complaints, without the file's name, on stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())


_NOT_READ = re.compile(r"unsupported|not (yet )?supported|cannot handle", re.IGNORECASE)
"""Words of Pillow about a file that may be sound and needs what Pillow lacks."""


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
        elif form == "BMP":
            image = open_bmp(factory, data)
        else:
            image = factory(io.BytesIO(png.data if png else data), "")
    except BadImage:
        raise
    except Exception as error:  # Plugins raise what they like: it is this file's fault whatever it is.
        reason = tiff.refusal(data, error) if form == "TIFF" else ""
        raise BadImage(name, reason or fault(error, form, "header")) from None
    try:
        check_size(*stored_size(image), name)
    except BadImage:
        image.close()
        raise
    if png is not None:
        image.info[SIGNIFICANT_BITS] = png.significant_bits
        if png.key is not None:
            image.info["transparency"] = png.key
        if png.deep_key is not None:
            image.info[DEEP_KEY] = png.deep_key
    elif form == "TGA":
        image.info["attribute bits"] = data[17] & 15
    return image


def fault(error: Exception, form: str, part: str = "") -> str:
    """Return what an error of a decoder means for a file: of a kind that is not read, truncated, or corrupt.

    Args:
        part: the part of the file that the decoder read, where it is not the pixels.
    """
    message = plain(error)
    if _NOT_READ.search(message):
        return f"a {form} of a kind that is not read ({message})"
    if part:
        return f"corrupt {part} of a {form} ({message})"
    return f"{'truncated' if 'truncated' in message.lower() else 'corrupt'} {form} ({message})"


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) before any turning; Pillow gives the size of a TIFF as it will be after it."""
    tags = getattr(image, "tag_v2", {})
    try:
        return int(tags[257]), int(tags[256])
    except (KeyError, TypeError, ValueError):
        return image.height, image.width
