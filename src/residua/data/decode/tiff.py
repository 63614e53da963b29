"""TIFF beside what Pillow does by itself: more depths, planes of 16 bits, and a reason for what is refused."""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import COMPRESSION_INFO, II, MM, OPEN_INFO, ImageFileDirectory_v2

from residua.data.decode.bad_image import BadImage

# Tags of TIFF 6.0 and of Adobe's DNG, then values of theirs.
_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR, _SUB_IFDS, _FORMAT = 254, 258, 259, 262, 284, 330, 339
_DNG_VERSION = 50706
_REDUCED, _UNCOMPRESSED, _IN_PLANES, _SIGNED = 1, 1, 2, 2
_MEANINGS = {0: "grey, white is zero", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "LAB"}
_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point"}

# Greys that Pillow could read and has no row for. Values come as they stand: `depth` inverts where white is zero.
for _order, _white, _bits, _mode in (
    (MM, 0, 16, ("I;16B", "I;16B")),
    (MM, 1, 12, ("I;16", "I;12")),
    (II, 0, 12, ("I;16", "I;12")),
    (MM, 0, 12, ("I;16", "I;12")),
):
    OPEN_INFO.setdefault((_order, _white, (1,), 1, (_bits,), ()), _mode)

_THROUGH_LIBTIFF = threading.Lock()


def open_tiff(factory: Callable[[Any, str], Image.Image], data: bytes, name: str) -> Image.Image:
    """Open the first picture of a TIFF, its pixels not yet decoded.

    Raises:
        BadImage: a camera's raw photo, of which this would be the small preview; signed samples of 8 bits.
        Exception: whatever Pillow raises.
    """
    _silence_libtiff()
    image = factory(io.BytesIO(data), "")
    tags = getattr(image, "tag_v2", {})
    if _DNG_VERSION in tags or (tags.get(_SUBFILE, 0) == _REDUCED and _SUB_IFDS in tags):
        raise BadImage(name, "a camera's raw photo, which is not read", "Convert it to JPEG or TIFF, or remove it")
    if image.mode == "L" and _first(tags.get(_FORMAT, 1)) == _SIGNED:
        # Pillow reads signed bytes as unsigned: -1 would be white.
        image.close()
        raise BadImage(name, f"a TIFF of {_samples(data)}, which is not read", "Convert it to unsigned samples")
    planes = tags.get(_PLANAR) == _IN_PLANES and tags.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
    if planes and max(tags.get(_BITS, (1,))) > 8:
        # Of uncompressed planes Pillow would read every byte as a sample; libtiff reads them as they are meant.
        with _THROUGH_LIBTIFF:
            before, TiffImagePlugin.READ_LIBTIFF = TiffImagePlugin.READ_LIBTIFF, True
            try:
                image = factory(io.BytesIO(data), "")
            finally:
                TiffImagePlugin.READ_LIBTIFF = before
    return image


@cache
def _silence_libtiff() -> None:
    """Keep libtiff from printing its complaints about a damaged file, without the file's name, on stderr."""
    with contextlib.suppress(OSError, AttributeError):
        mapped = Path("/proc/self/maps").read_text(errors="replace")
        match = re.search(r"/\S*/libtiff[^/\s]*\.so\S*", mapped)
        if match:
            ctypes.CDLL(match[0]).TIFFSetErrorHandler(None)


def refusal(data: bytes, error: Exception) -> str:
    """Return what a TIFF holds that Pillow does not read, or "" where its header is damaged."""
    # Of an unknown compression the message is its bare number.
    if "mode" in str(error) or (str(error).isdecimal() and int(str(error)) not in COMPRESSION_INFO):
        try:
            return f"a TIFF of {_samples(data)}, which is not read"
        except Exception:  # The tags are as damaged as the rest.
            pass
    return ""


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value


def _samples(data: bytes) -> str:
    stream = io.BytesIO(data)
    tags = ImageFileDirectory_v2(stream.read(16 if 43 in data[2:4] else 8))
    stream.seek(tags.next)
    tags.load(stream)
    bits = tags.get(_BITS, (1,))
    kind = _FORMATS.get(tags.get(_FORMAT, (1,))[0], "unknown")
    photometric = tags.get(_PHOTOMETRIC, -1)
    order = "big" if data[:1] == b"M" else "little"
    return (
        f"{len(bits)} × {bits[0]} bits, {kind}, {_MEANINGS.get(photometric, f'photometric {photometric}')}, "
        f"{order}-endian, compression {tags.get(_COMPRESSION, _UNCOMPRESSED)}"
    )
