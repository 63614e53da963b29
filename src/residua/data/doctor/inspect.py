"""One image, examined: whether it decodes, what it is and what it looks like."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from residua.data.decode import FORMATS, BadImage, Pixels, decode_bytes, open_image, read
from residua.data.decode.budget import BUDGET

THUMBNAIL = 16  # pixels: halves to the 8 × 8 of the first comparison; 768 bytes per image
_SAMPLED = 4096  # pixels of which the most frequent colour is counted
_SAME = {"MPO": "JPEG"}
"""Several JPEG pictures in one file, as phones write them, count as JPEG."""


@dataclass(frozen=True)
class Member:
    """One image of the data set, to be examined.

    Attributes:
        split: its part: "train", "val" or "test".
        label: its class.
        name: its file, or its place in an array.
        examine: decodes and describes it.
    """

    split: str
    label: str
    name: str
    examine: Callable[[], Examination]


@dataclass(frozen=True, eq=False)
class Examination:
    """What one image turned out to be.

    Attributes:
        reason: why it does not decode; "" when it does, and only then the rest is set.
        format: Pillow's name of the format, "" for pixels that came from no file.
        mislabelled: the extension states a different format.
        mode: "RGB", "L" (grey), "CMYK", "P" (palette), "I;16" …
        size: (height, width), pixels, as decoded.
        levels: the least and the greatest value, 0 to 255.
        plain: share of the pixels that have exactly the most frequent colour, of about 4,000 of them.
        digest: hash of size and pixels.
        thumbnail: uint8 (16, 16, 3), or None for images with a side below 16.
    """

    reason: str = ""
    format: str = ""
    mislabelled: bool = False
    mode: str = "RGB"
    size: tuple[int, int] = (0, 0)
    levels: tuple[int, int] = (0, 255)
    plain: float = 0.0
    digest: bytes = b""
    thumbnail: Pixels | None = None


def examine_file(path: Path) -> Examination:
    """Decode a file in full."""
    return examine_encoded(lambda: read(path))


def examine_encoded(read_image: Callable[[], tuple[bytes, str]]) -> Examination:
    """Decode the bytes that `read_image` returns, with their name, in full."""
    try:
        with BUDGET.kept():
            data, name = read_image()
            claimed = FORMATS.get(Path(name).suffix.lower())
            pixels = decode_bytes(data, name)
            with open_image(data, name) as image:
                form, mode = _SAME.get(str(image.format), str(image.format)), image.mode
            return examine_pixels(pixels, form, claimed is not None and claimed != form, mode)
    except BadImage as error:
        return Examination(error.reason)


def examine_pixels(pixels: Pixels, form: str = "", mislabelled: bool = False, mode: str = "RGB") -> Examination:
    """Describe decoded pixels, uint8 (H, W, 3)."""
    height, width = pixels.shape[:2]
    contiguous = np.ascontiguousarray(pixels)
    digest = hashlib.blake2b(contiguous.data, digest_size=16, key=f"{height}x{width}".encode()).digest()
    thumbnail = None
    if min(height, width) >= THUMBNAIL:
        small = Image.fromarray(contiguous).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=2.0)
        thumbnail = np.asarray(small)
    levels = (int(contiguous.min()), int(contiguous.max()))
    plain = _plainness(contiguous)
    return Examination("", form, mislabelled, mode, (height, width), levels, plain, digest, thumbnail)


def _plainness(pixels: Pixels) -> float:
    flat = pixels.reshape(-1, 3)
    sampled = flat[:: max(1, len(flat) // _SAMPLED)].astype(np.int32)
    codes = (sampled[:, 0] << 16) | (sampled[:, 1] << 8) | sampled[:, 2]
    return float(np.unique(codes, return_counts=True)[1].max() / len(codes))
