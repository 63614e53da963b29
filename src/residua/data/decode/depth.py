"""Which value is white: the rule for images of more than 8 bits per sample.

1. A TIFF declares it: BitsPerSample n, or MaxSampleValue of the form 2^m − 1 with 8 ≤ m < n. (TIFF 6.0 calls that field
   the greatest value *used*; of that form it is in practice the depth of the sensor.) Signed samples have one bit less.
2. A PNG declares it by sBIT, and by its specification the samples are scaled up to 16 bits already. Writers that left
   them unscaled are recognised: no value needs more than the declared bits, and some are no multiples of the step.
   Colours of several channels follow 1 and 2 as grey does: `residua.data.decode.beyond.deep_colour`.
3. A PNM declares it, and Pillow scales by it; so it does for JPEG 2000.
4. Where nothing is declared, white is 65535. It is never measured in the image: brightness would then depend on the
   brightest pixel of each. `residua check` names images that use a few levels of such a range.

Of floating-point samples the range is SMinSampleValue to SMaxSampleValue; without these the image is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from residua.data.decode.bad_image import BadImage, Pixels

# Tags of TIFF 6.0 and of its technical notes, then values of theirs.
_PHOTOMETRIC, _MAX_SAMPLE, _BITS, _FORMAT = 262, 281, 258, 339
_FLOAT_LEAST, _FLOAT_MOST = 340, 341
_WHITE_IS_ZERO, _UNSIGNED, _SIGNED = 0, 1, 2

SIGNIFICANT_BITS = "residua significant bits"
"""Key of `Image.info` under which the opening of a PNG leaves what sBIT declares."""


@dataclass(frozen=True)
class Range:
    """The values that are black and white in a single-channel image.

    Attributes:
        black: the value of black.
        white: the value of white; below `black` where white is zero.
    """

    black: float
    white: float

    def to_bytes(self, values: npt.NDArray[Any]) -> Pixels:
        """Scale to 0..255; of an integer range of 2^n values, its upper 8 bits."""
        top = max(self.black, self.white)
        whole = values.dtype.kind != "f" and min(self.black, self.white) == 0
        if whole and top >= 255 and math.log2(top + 1).is_integer():
            levels: Pixels = (np.minimum(values, int(top)) >> (int(top).bit_length() - 8)).astype(np.uint8)
            return 255 - levels if self.white == 0 else levels
        scaled = (values.astype(np.float64) - self.black) * (255 / (self.white - self.black))
        rounded: Pixels = np.nan_to_num(scaled.round().clip(0, 255), nan=0).astype(np.uint8)
        return rounded


def range_of(image: Image.Image, name: str) -> Range:
    """Return the range of a loaded image of mode "I;16…", "I" or "F".

    Raises:
        BadImage: integers outside 0..65535 where no other range is declared; floating point of undeclared range.
    """
    tags: dict[int, Any] = dict(getattr(image, "tag_v2", {}))
    least, most = 0.0, declared_white(tags) if tags else _unscaled(image) or 65535
    if image.mode == "F":
        least, most = _number(tags, _FLOAT_LEAST), _number(tags, _FLOAT_MOST)
        if not (math.isfinite(least) and math.isfinite(most) and least < most):
            raise BadImage(name, "floating-point pixels, whose range is not defined")
    elif image.mode == "I":
        darkest, brightest = image.getextrema()
        if darkest < 0 or brightest > most:  # type: ignore[operator]
            if _number(tags, _FORMAT, _UNSIGNED) == _UNSIGNED:
                darkest, brightest = _unsigned_extrema(image)
            raise BadImage(name, f"integer pixels of {darkest} to {brightest}, outside 0..{most:.0f}")
    return Range(most, least) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else Range(least, most)


def _unsigned_extrema(image: Image.Image) -> tuple[int, int]:
    """Return the least and the greatest value of 32 unsigned bits, which Pillow keeps in signed ones."""
    least, most = 2**32 - 1, 0
    for y in range(image.height):
        row = np.asarray(image.crop((0, y, image.width, y + 1))).view(np.uint32)
        least, most = min(least, int(row.min())), max(most, int(row.max()))
    return least, most


def declared_white(tags: dict[int, Any]) -> float:
    """Return the value of white by the tags of a TIFF."""
    bits = _number(tags, _BITS, 16)
    if _number(tags, _FORMAT) == _SIGNED:
        bits -= 1
    most = _number(tags, _MAX_SAMPLE)
    if 255 <= most < 2**bits - 1 and math.log2(most + 1).is_integer():
        return most
    # Of 32 bits nobody uses the whole range: labels and 16-bit values are what is kept in them.
    return 2 ** min(bits, 16) - 1


def _number(tags: dict[int, Any], tag: int, default: float = math.nan) -> float:
    value = tags.get(tag, default)
    value = value[0] if isinstance(value, tuple) and value else value
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return default


def _unscaled(image: Image.Image) -> int:
    """Return white of a PNG that declares fewer than 16 bits and keeps its values in the lower ones; else 0."""
    bits = image.info.get(SIGNIFICANT_BITS)
    if not isinstance(bits, int) or not 8 <= bits < 16 or not image.mode.startswith("I;16"):
        return 0
    brightest = image.getextrema()[1]
    if brightest >= 1 << bits:  # type: ignore[operator]
        return 0
    multiples = not (np.asarray(image) & ((1 << 16 - bits) - 1)).any()
    return 0 if multiples else (1 << bits) - 1
