"""BMP beside what Pillow does by itself: more orders of the four bytes of a pixel."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

from PIL import Image

from residua.data.decode.beyond.raw_mode import set_raw_mode

_MASKS_AT = 54
"""Byte of the file where the masks of red, green, blue and alpha begin, in or behind its header."""
_BITFIELDS = 3  # the compression of files that state their masks
_WITH_ALPHA_FROM = 56
"""Bytes of the header from which on it holds a mask of alpha."""
_ORDERS = frozenset(("RGBX", "XRGB", "ARGB"))
"""Orders that Pillow unpacks and whose masks it refuses; X is a byte that nothing uses."""


def open_bmp(factory: Callable[[Any, str], Image.Image], data: bytes) -> Image.Image:
    """Open a BMP, its pixels not yet decoded.

    Raises:
        Exception: whatever Pillow raises.
    """
    order = _byte_order(data)
    if order not in _ORDERS:
        return factory(io.BytesIO(data), "")
    # The masks of an order that Pillow accepts open the file; the true order unpacks it.
    accepted = (0xFF0000, 0xFF00, 0xFF, *((0xFF000000,) if "A" in order else ()))
    end = _MASKS_AT + 4 * len(accepted)
    image = factory(io.BytesIO(data[:_MASKS_AT] + struct.pack(f"<{len(accepted)}I", *accepted) + data[end:]), "")
    set_raw_mode(image, order)
    return image


def _byte_order(data: bytes) -> str:
    """Return the channels of a 32-bit pixel in the order of its bytes, or "" where they are no whole bytes."""
    if len(data) < _MASKS_AT + 16:
        return ""
    size, bits, compression = struct.unpack_from("<I10xHI", data, 14)
    if bits != 32 or compression != _BITFIELDS or size < 40:
        return ""
    channels = "RGBA" if size >= _WITH_ALPHA_FROM else "RGB"
    order = ["X"] * 4
    for channel, mask in zip(channels, struct.unpack_from("<4I", data, _MASKS_AT), strict=False):
        places = [byte for byte in range(4) if mask == 0xFF << 8 * byte]
        if places and order[places[0]] == "X":
            order[places[0]] = channel
        elif mask or channel != "A":
            return ""
    return "".join(order)
