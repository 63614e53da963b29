"""Writers of PNG, TIFF, BMP, TGA and PNM in all their forms, from whole-number samples."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int64]
"""Whole numbers (H, W, C), each below 2^bits."""

# Adam7: first row, first column, step down, step across.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def packed(samples: Samples, bits: int, order: str = ">") -> bytes:
    """Return rows of samples of `bits` bits each, a row padded to whole bytes; 16 bits and more in a byte order."""
    rows = samples.reshape(len(samples), -1)
    if bits in (16, 32):
        return rows.astype(f"{order}u{bits // 8}").tobytes()
    spread = (rows[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(spread.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    samples: Samples, bits: int, colour: int, before: bytes = b"", *, interlaced: bool = False, after: bytes = b""
) -> bytes:
    """Return a PNG of colour type 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.

    Args:
        before: chunks between the header and the pixels; `after`: chunks behind the pixels.
    """
    height, width = samples.shape[:2]
    passes = [samples]
    if interlaced:
        passes = [samples[top::down, left::across] for top, left, down, across in _PASSES]
    rows = b"".join(b"\0" + packed(part[y : y + 1], bits) for part in passes if part.size for y in range(len(part)))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", zlib.compress(rows))
        + after
        + chunk(b"IEND", b"")
    )


def tiff(
    samples: Samples,
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    planar: bool = False,
    reversed_bits: bool = False,
    deflate: bool = False,
    rows_per_strip: int | None = None,
    tags: Mapping[int, tuple[int, Sequence[int]]] | None = None,
    content: bytes | None = None,
) -> bytes:
    """Return an uncompressed or deflated TIFF.

    Args:
        samples: (H, W, C).
        bits: per sample.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK, 6 YCbCr, 8 LAB.
        order: "<" little-endian, ">" big-endian.
        planar: one plane after another.
        tags: more of them: number -> (type, values).
        content: the pixels' bytes, where `packed` does not give them.
    """
    height, width, channels = samples.shape
    planes = [samples[..., c : c + 1] for c in range(channels)] if planar else [samples]
    step = rows_per_strip or height
    if content is not None:
        strips = [content]
    else:
        strips = [packed(plane[y : y + step], bits, order) for plane in planes for y in range(0, height, step)]
    if reversed_bits:
        strips = [bytes(int(f"{byte:08b}"[::-1], 2) for byte in strip) for strip in strips]
    if deflate:
        strips = [zlib.compress(strip) for strip in strips]
    entries: dict[int, tuple[int, Sequence[int]]] = {
        256: (3, [width]), 257: (3, [height]), 258: (3, [bits] * channels), 259: (3, [8 if deflate else 1]),
        262: (3, [photometric]), 266: (3, [2 if reversed_bits else 1]), 273: (4, [0] * len(strips)),
        277: (3, [channels]), 278: (3, [step]), 279: (4, [len(strip) for strip in strips]),
        284: (3, [2 if planar else 1]), **(tags or {}),
    }  # fmt: skip
    places, place = [], 8
    for strip in strips:
        places.append(place)
        place += len(strip) + len(strip) % 2
    entries[273] = (4, places)
    body = b"".join(strip + b"\0" * (len(strip) % 2) for strip in strips)
    outside, directory = b"", b""
    start = 8 + len(body)
    values_at = start + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        code = {3: "H", 4: "I", 11: "f"}[kind]
        value = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(value) > 4:
            directory += struct.pack(f"{order}HHII", tag, kind, len(values), values_at + len(outside))
            outside += value
        else:
            directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start)
    return head + body + struct.pack(f"{order}H", len(entries)) + directory + struct.pack(f"{order}I", 0) + outside


def bmp(
    rows: Sequence[bytes],
    width: int,
    bits: int,
    *,
    header: int = 40,
    masks: Sequence[int] = (),
    palette: bytes = b"",
    top_down: bool = False,
    compression: int | None = None,
    body: bytes | None = None,
) -> bytes:
    """Return a BMP of rows, the upper one first.

    Args:
        header: 12, 40, 108 or 124 bytes.
        masks: red, green, blue and alpha.
        palette: entries of 4 bytes, of 3 with a header of 12.
        body: compressed pixels in place of `rows`.
    """
    height = len(rows)
    padded = [row + b"\0" * (-len(row) % 4) for row in rows]
    pixels = body if body is not None else b"".join(padded if top_down else padded[::-1])
    if compression is None:
        compression = 3 if masks else 0
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        colours = len(palette) // 4
        signed = -height if top_down else height
        sizes = (len(pixels), 2835, 2835, colours, 0)
        head = struct.pack("<IiiHHIIiiII", header, width, signed, 1, bits, compression, *sizes)
        head += b"".join(struct.pack("<I", mask) for mask in masks)
        head = head.ljust(header, b"\0")
    place = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", place + len(pixels), 0, 0, place) + head + palette + pixels


def tga(
    rows: Sequence[bytes], width: int, bits: int, kind: int, *, origin: int = 0x20, attributes: int = 0,
    colour_map: bytes = b"", map_bits: int = 0, right_to_left: bool = False,
) -> bytes:  # fmt: skip
    """Return a TGA of rows, the upper one first; with `kind` 9 to 11 every run is of raw pixels.

    Args:
        origin: 0x20 upper rows first, 0 lower rows first.
        attributes: bits of alpha that the header declares.
        right_to_left: the pixels of a row stand from right to left.
    """
    size = (bits + 7) // 8
    if right_to_left:
        rows = [b"".join(row[x : x + size] for x in range(len(row) - size, -1, -size)) for row in rows]
        origin |= 0x10
    ordered = list(rows if origin & 0x20 else rows[::-1])
    if kind > 8:
        ordered = [bytes([width - 1]) + row for row in ordered]
    entries = len(colour_map) * 8 // map_bits if map_bits else 0
    head = struct.pack("<BBBHHBHHHH", 0, int(entries > 0), kind, 0, entries, map_bits, 0, 0, width, len(rows))
    return head + bytes([bits, origin | attributes]) + colour_map + b"".join(ordered)
