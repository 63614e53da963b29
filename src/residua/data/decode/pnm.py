"""Grey and RGB images of Netpbm (P2, P3, P5, P6), which Pillow reads value by value where 255 is not white."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from residua.data.decode.bad_image import BadImage, Pixels, check_size
from residua.data.decode.depth import Range

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])"
_HEADER = re.compile(rb"P([2356])" + 3 * (_GAP + rb"+(\d{1,9})") + _GAP)
_COMMENT = re.compile(rb"#[^\r\n]*")
_BAND_VALUES = 1 << 20  # at a time: a conversion then takes little memory beside the image


@dataclass(frozen=True)
class PnmHeader:
    """The header of a PNM file.

    Attributes:
        height: pixels.
        width: pixels.
        channels: 1 or 3.
        white: the greatest value, 1 to 65535.
        plain: the values are written out as text.
        start: offset of the first value, bytes.
    """

    height: int
    width: int
    channels: int
    white: int
    plain: bool
    start: int

    @property
    def memory(self) -> int:
        """Bytes that decoding takes; the values of text are kept in eight bytes each."""
        return self.height * self.width * (3 + (8 * self.channels if self.plain else 0))


def pnm_header(data: bytes, name: str) -> PnmHeader | None:
    """Return the header, or None where it is not one of these forms.

    Raises:
        BadImage: above 100 million pixels.
    """
    match = _HEADER.match(data)
    if match is None:
        return None
    kind, width, height, white = (int(group) for group in match.groups())
    check_size(height, width, name)
    if not 0 < white < 65536:
        return None
    return PnmHeader(height, width, 3 if kind in (3, 6) else 1, white, kind < 5, match.end())


def decode_pnm(data: bytes, header: PnmHeader, name: str) -> Pixels:
    """Decode to uint8 (H, W, 3).

    Raises:
        BadImage: truncated, or something that is no number.
    """
    count = header.height * header.width * header.channels
    values = (_text if header.plain else _binary)(data, header)
    if values is None or len(values) < count:
        raise BadImage(name, "truncated PPM" if values is not None else "corrupt PPM (something that is no number)")
    rows = values[:count].reshape(header.height, header.width, header.channels)
    scale = Range(0, header.white)
    pixels = np.empty((header.height, header.width, 3), np.uint8)
    step = max(1, _BAND_VALUES // (header.width * header.channels))
    for top in range(0, header.height, step):
        pixels[top : top + step] = scale.to_bytes(rows[top : top + step])
    return pixels


def _binary(data: bytes, header: PnmHeader) -> npt.NDArray[np.unsignedinteger]:
    kind = np.dtype(">u2" if header.white > 255 else "u1")
    return np.frombuffer(data, kind, (len(data) - header.start) // kind.itemsize, header.start)


def _text(data: bytes, header: PnmHeader) -> npt.NDArray[np.int64] | None:
    text = _COMMENT.sub(b"", data[header.start :])
    # No value has more than five digits, so that none is beyond what is kept.
    if re.search(rb"[^\d\s]|\d{6}", text):
        return None
    return np.fromstring(text.strip(), np.int64, sep=" ")
