"""JPEG by libjpeg-turbo, which can decode at a reduced scale; ITU-T T.81."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import simplejpeg

from residua.data.decode.bad_image import BadImage, Pixels, check_size

MAX_SCANS = 200
"""Scans of a progressive JPEG. Encoders write about ten; each one passes over all pixels."""

# Complaints of libjpeg after which every pixel is nevertheless there: cameras are known to write such files. After
# damage, hundreds of bytes are left over.
_HARMLESS = re.compile(r" 1?\d extraneous bytes before marker 0xd9|Invalid SOS parameters for sequential JPEG")

# Markers (ITU-T T.81, table B.1): frame headers, the progressive ones of them, and those without a segment.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))


class OtherSampling(Exception):
    """Chroma is subsampled in a way that libjpeg-turbo decodes through its full interface only."""


class JpegHeader(NamedTuple):
    """The fields of a JPEG header that decoding needs.

    Attributes:
        height: pixels, as stored.
        width: pixels, as stored.
        components: 1 grey, 3 colour, 4 CMYK.
        progressive: each scan adds to all pixels.
        metadata: there is an APP1 segment, EXIF or XMP.
        frame: where the frame header begins, bytes.
    """

    height: int
    width: int
    components: int
    progressive: bool
    metadata: bool
    frame: int


def read_header(data: bytes, name: str) -> JpegHeader:
    """Read the segments up to the first frame header, and count the scans of a progressive image.

    Raises:
        BadImage: no frame header, above 100 million pixels, more than 200 scans, samples of more than 8 bits.
    """
    offset, metadata = 2, False
    while (offset := data.find(b"\xff", offset)) >= 0 and offset + 4 <= len(data):
        marker = data[offset + 1]
        if marker == 0xFF or marker in _STANDALONE or marker == 0:
            # A marker may be preceded by any number of fill bytes (B.1.1.2).
            offset += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES and offset + 10 <= len(data):
            precision, height, width, components = struct.unpack_from(">BHHB", data, offset + 4)
            check_size(height, width, name)
            if precision != 8:
                raise BadImage(name, f"a JPEG of {precision} bits per sample, which is not read")
            # EXIF comes first by its standard, but may come after the frame header.
            later = data.find(b"\xff\xe1", offset, data.find(b"\xff\xda", offset)) >= 0
            header = JpegHeader(height, width, components, marker in _PROGRESSIVE, metadata or later, offset)
            if header.progressive and (scans := count_scans(data, header)) > MAX_SCANS:
                raise BadImage(name, f"a progressive JPEG of {scans} scans; at most {MAX_SCANS} are decoded")
            return header
        if marker in (0xD9, 0xDA):
            break
        metadata = metadata or marker == 0xE1
        offset += 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
    cut = offset < 0 or offset + 4 > len(data)
    raise BadImage(name, "truncated JPEG (no frame header)" if cut else "corrupt JPEG (no frame header)")


def count_scans(data: bytes, header: JpegHeader) -> int:
    """Return in how many scans the pixels come; of more than one, coefficients are kept until the last.

    Passes over the whole file, which takes a tenth of the time of decoding it.
    """
    # What follows the end, such as the second image of a camera, is no scan of this one.
    end = data.find(b"\xff\xd9", header.frame)
    return data.count(b"\xff\xda", header.frame, len(data) if header.progressive or end < 0 else end)


def decode_jpeg(data: bytes, name: str, min_height: int, min_width: int) -> Pixels:
    """Decode to uint8 (H, W, 3) as stored, at the least scale that keeps both sides; 0, 0: at full scale.

    Raises:
        BadImage: truncated or corrupt.
        OtherSampling: not to be decoded here.
    """
    try:
        return _decode(data, min_height, min_width, strict=True)
    except ValueError as error:
        if "subsampling" in str(error):
            raise OtherSampling from None
        if not _HARMLESS.search(str(error)):
            raise BadImage(name, _reason(str(error))) from None
    try:
        return _decode(data, min_height, min_width, strict=False)
    except ValueError as error:
        raise BadImage(name, _reason(str(error))) from None


def scale_of(header: JpegHeader, min_height: int, min_width: int) -> float:
    """Return an upper bound of the scale at which `decode_jpeg` works, a fraction of 1 per side."""
    if not (min_height or min_width):
        return 1.0
    # Scales are eighths.
    return min(1.0, max(min_height / header.height, min_width / header.width) + 1 / 8)


def _decode(data: bytes, height: int, width: int, *, strict: bool) -> Pixels:
    # Where a reduced scale is allowed, so are the quicker transform and upsampling. (min_factor 2: from half scale on
    # libjpeg-turbo's transforms are fast ones, between half and full they are not.)
    reduced = bool(height or width)
    pixels: Pixels = simplejpeg.decode_jpeg(
        data,
        "RGB",
        fastdct=reduced,
        fastupsample=reduced,
        min_height=height,
        min_width=width,
        min_factor=2 if reduced else 1,
        strict=strict,
    )
    return pixels


def _reason(message: str) -> str:
    if "end of JPEG file" in message:
        return "truncated JPEG"
    return f"corrupt JPEG ({message.strip().removeprefix('Corrupt JPEG data: ')})"
