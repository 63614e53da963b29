"""Colours of 16 bits per sample with a declared white below 65535.

Pillow reduces them to their upper 8 bits, which leaves 12-bit values near black. Where such a white is declared, the
pixels are therefore decoded a second time, for their lower bytes, and scaled as `depth` scales grey.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from residua.data.decode.bad_image import BadImage
from residua.data.decode.beyond.raw_mode import raw_mode_of, set_raw_mode
from residua.data.decode.depth import SIGNIFICANT_BITS, Range, declared_white

DEEP_KEY = "residua transparent colour"
"""Key of `Image.info` under which the opening of a PNG leaves the transparent colour of 16-bit RGB."""

EXTRA_BYTES = 8
"""Bytes per pixel that are held beside Pillow's image: the lower bytes, and the result."""

# Tags of TIFF 6.0, and the planar configuration of one plane per channel.
_BITS, _PLANAR, _IN_PLANES = 258, 284, 2
_BAND_PIXELS = 1 << 20  # at a time: a conversion then takes little memory beside the image
_OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
_ALPHA = frozenset(("RGBA", "RGBa", "LA"))

Values = npt.NDArray[np.uint16]


def is_deep(image: Image.Image) -> bool:
    """Return whether colours have 16 bits and declare fewer; PNG may turn out to be scaled up to 16."""
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        return False
    if SIGNIFICANT_BITS in image.info:
        bits = image.info[SIGNIFICANT_BITS]
        return isinstance(bits, int) and 8 <= bits < 16 and ";16" in raw_mode_of(image)
    tags: dict[int, Any] = dict(getattr(image, "tag_v2", {}))
    return bool(tags) and max(tags.get(_BITS, (1,))) == 16 and declared_white(tags) < 65535


def to_eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Return an image for which `is_deep` holds as one of 8 bits per sample, white at 255; loads its pixels.

    Raises:
        BadImage: the lower bytes are lost: Pillow has loaded the pixels before, or they stand in planes.
        Exception: whatever Pillow raises while it loads the pixels.
    """
    tags: dict[int, Any] = dict(getattr(image, "tag_v2", {}))
    raw_mode = raw_mode_of(image)
    if ";16" not in raw_mode or tags.get(_PLANAR) == _IN_PLANES:
        reason = f"16-bit colours with white at {declared_white(tags):.0f}, of which only the upper 8 bits can be read"
        raise BadImage(name, reason, "Pass its path if it is loaded already; else convert it to 8 bits")
    mode = raw_mode.split(";")[0].replace("X", "")
    stored = raw_mode.replace("RGBa", "RGBA")  # Scale before Pillow divides by alpha.
    low = None
    if mode == "LA":
        stored = "RGBA"  # Four bytes per pixel: upper and lower byte of grey, then of alpha.
    else:
        low = _again(image)
        set_raw_mode(low, f"{stored[:-3]}{_OTHER_BYTE[stored[-3:]]}")
        low.load()
    set_raw_mode(image, stored)
    image.load()
    colours = len(mode) - (mode in _ALPHA)
    whites = _whites(image, low, tags, colours)
    key = image.info.get(DEEP_KEY)
    result = Image.new("RGBA" if key else mode, image.size)
    for top, values in _bands(image, low):
        levels = np.concatenate(
            [Range(0, whites[c >= colours]).to_bytes(values[..., c : c + 1]) for c in range(values.shape[2])], axis=2
        )
        if key:
            alpha = np.where((values == key).all(2, keepdims=True), 0, 255).astype(np.uint8)
            levels = np.concatenate([levels, alpha], axis=2)
        band = Image.frombytes(result.mode, (image.width, len(values)), levels.tobytes())
        result.paste(band, (0, top))
    return result


def _whites(image: Image.Image, low: Image.Image | None, tags: dict[int, Any], colours: int) -> tuple[float, float]:
    """Return white of the colours, and full of alpha: writers that leave colours unscaled differ in alpha."""
    brightest, lowest_bits = [0, 0], [0, 0]
    for _, values in _bands(image, low):
        for group_index, group in enumerate((values[..., :colours], values[..., colours:])):
            if group.size:
                brightest[group_index] = max(brightest[group_index], int(group.max()))
                lowest_bits[group_index] |= int(np.bitwise_or.reduce(group, axis=None))
    if tags:
        white = declared_white(tags)
        return white, white if brightest[1] <= white else 65535
    bits = image.info[SIGNIFICANT_BITS]
    step = (1 << 16 - bits) - 1
    white, full = (
        (1 << bits) - 1 if most < 1 << bits and lowest & step else 65535
        for most, lowest in zip(brightest, lowest_bits, strict=True)
    )
    return white, full


def _bands(image: Image.Image, low: Image.Image | None) -> Iterator[tuple[int, Values]]:
    """Yield (upper row, values (rows, W, C)) of a loaded image."""
    rows = max(1, _BAND_PIXELS // max(image.width, 1))
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        upper = np.asarray(image.crop(box))
        if low is None:
            upper, lower = upper[..., 0::2], upper[..., 1::2]
        else:
            lower = np.asarray(low.crop(box))
        values: Values = (upper.astype(np.uint16) << np.uint16(8)) | lower
        yield top, values


def _again(image: Image.Image) -> Image.Image:
    """Open the same file once more, at the same frame."""
    stream: Any = image.fp  # type: ignore[attr-defined]
    offset = stream.tell()
    stream.seek(0)
    data = stream.read()
    stream.seek(offset)
    factory: Any = type(image)
    opened: Image.Image = factory(io.BytesIO(data), "")
    return opened
