"""The chunks of a PNG that its pixels need, checked: W3C PNG, third edition."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from residua.data.decode.bad_image import BadImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CRITICAL = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"))
_NEEDED = _CRITICAL | {b"sBIT", b"eXIf"}
_XMP = b"XML:com.adobe.xmp\0\0"
_LONGEST_XMP = 1 << 20  # a chunk of text may have any size, and an orientation needs little
_LAST = (b"IDAT", b"IEND")
_GREY = 0
_WITH_ALPHA = (b"\x04", b"\x06")


@dataclass(frozen=True)
class Png:
    """What `essential` returns.

    Attributes:
        data: the file without the chunks that its pixels do not need, and with its orientation before its pixels:
            Pillow then knows it before it decodes.
        key: the transparent colour of an image without alpha, in the values that Pillow decodes: of 16 bits for 16-bit
            grey, else of 8 bits per channel; None where there is none.
        deep_key: the same in 16 bits per channel, of 16-bit RGB alone.
        significant_bits: the most of any channel but alpha, as declared by sBIT; None where nothing is declared.
    """

    data: bytes
    key: int | tuple[int, ...] | None
    deep_key: tuple[int, ...] | None
    significant_bits: int | None


def essential(data: bytes, name: str) -> Png:
    """Leave out text, profiles, times and the frames of an animation.

    Pillow refuses a file for what stands there: comments above 1 MiB, a wrong checksum.

    Raises:
        BadImage: a chunk that the pixels need has a wrong checksum, or is unknown.
    """
    kept, pixels = [SIGNATURE], list[bytes]()
    header = transparent = significant = kind = b""
    offset = len(SIGNATURE)
    while offset + 12 <= len(data):
        kind = data[offset + 4 : offset + 8]
        end = offset + 12 + int.from_bytes(data[offset : offset + 4], "big")
        if end > len(data):
            break
        body = data[offset + 8 : end - 4] if kind != b"IDAT" else b""
        needed = kind in _NEEDED or _is_xmp(kind, body)
        # An upper-case first letter: a decoder that does not know the chunk cannot show the image.
        if not needed and not kind[0] & 0x20:
            raise BadImage(name, _unknown(kind))
        if needed:
            sound = zlib.crc32(memoryview(data)[offset + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
            if not sound and kind in _CRITICAL:
                raise BadImage(name, f"corrupt PNG (wrong checksum of its {kind.decode()} chunk)")
            if kind == b"IHDR":
                header = body
            if kind == b"sBIT":
                significant = body
            elif kind == b"tRNS" and header[9:10] in (b"\x00", b"\x02"):
                transparent = body
            elif sound:
                (pixels if kind in _LAST else kept).append(data[offset:end])
        offset = end
        if kind == b"IEND":
            break
    if kind != b"IEND":
        # Cut short: Pillow finds out whether the pixels are there.
        pixels.append(data[offset:])
    key = _key(header, transparent)
    deep_key = key if isinstance(key, tuple) and header[8] == 16 else None
    if deep_key:
        # Pillow decodes 16-bit RGB to 8 bits, so that the key is compared in 8 bits too.
        key = tuple(value >> 8 for value in deep_key)
    colours = significant[:-1] if header[9:10] in _WITH_ALPHA else significant
    return Png(b"".join(kept + pixels), key, deep_key, max(colours, default=None))


def _is_xmp(kind: bytes, body: bytes) -> bool:
    # It may hold the orientation.
    return kind == b"iTXt" and len(body) <= _LONGEST_XMP and body.startswith(_XMP)


def _unknown(kind: bytes) -> str:
    if kind == b"CgBI":
        return "a PNG in Apple's own form (CgBI), which is not read"
    return f"corrupt PNG (unknown chunk {kind!r})"


def _key(header: bytes, transparent: bytes) -> int | tuple[int, ...] | None:
    if len(header) < 10 or len(transparent) != (2 if header[9] == _GREY else 6):
        return None
    bits = header[8]
    # Only the lower `bits` of each value count.
    values = [int.from_bytes(transparent[i : i + 2], "big") & ((1 << bits) - 1) for i in range(0, len(transparent), 2)]
    if header[9] == _GREY:
        return values[0] if bits == 16 else values[0] * 255 // ((1 << bits) - 1)
    return tuple(values)
