"""A baseline JPEG writer for samplings that Pillow cannot write: every 8 × 8 block is one colour."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

# Huffman codes of DC differences: categories 0 to 11 get codes of 4 bits. The one AC code ends a block.
_DC_SIZE, _DC = 4, bytes(range(12))
_AC_SIZE, _AC = 1, b"\0"


def jpeg_of_blocks(image: Image.Image, sampling: Sequence[tuple[int, int]], *, progressive: bool = False) -> bytes:
    """Return an RGB image as a JPEG of (horizontal, vertical) sampling factors for Y, Cb, Cr.

    Args:
        progressive: mark it as progressive; it still has one scan, of DC coefficients.
    """
    width, height = image.size
    planes = np.asarray(image.convert("YCbCr")).astype(np.float64)
    across, down = (max(factors[axis] for factors in sampling) for axis in (0, 1))
    columns, rows = -(-width // (8 * across)), -(-height // (8 * down))
    padded = np.pad(planes, ((0, rows * down * 8 - height), (0, columns * across * 8 - width), (0, 0)), "edge")
    blocks = [_means(padded[..., c], rows * v, columns * h) for c, (h, v) in enumerate(sampling)]
    bits: list[str] = []
    last = [0, 0, 0]
    for row in range(rows):
        for column in range(columns):
            for c, (h, v) in enumerate(sampling):
                for y in range(v):
                    for x in range(h):
                        value = round(float(blocks[c][row * v + y, column * h + x]) - 128)
                        bits.append(_dc(value - last[c]) + ("" if progressive else "0"))
                        last[c] = value
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    coded = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\0")
    # A step of 8 makes the DC coefficient 8 × mean / 8: the mean itself.
    quantisers = b"\0" + bytes([8]) + bytes([1]) * 63
    components = b"".join(bytes([c + 1, h << 4 | v, 0]) for c, (h, v) in enumerate(sampling))
    frame = struct.pack(">BHHB", 8, height, width, 3) + components
    dc_table = bytes([0]) + bytes(_DC_SIZE - 1) + bytes([len(_DC)]) + bytes(16 - _DC_SIZE) + _DC
    ac_table = bytes([0x10]) + bytes(_AC_SIZE - 1) + bytes([len(_AC)]) + bytes(16 - _AC_SIZE) + _AC
    scan = b"\x03" + b"\1\0\2\0\3\0" + (b"\0\0\0" if progressive else b"\0\x3f\0")
    return (
        b"\xff\xd8"
        + _segment(0xDB, quantisers)
        + _segment(0xC2 if progressive else 0xC0, frame)
        + _segment(0xC4, dc_table)
        + _segment(0xC4, ac_table)
        + _segment(0xDA, scan)
        + coded
        + b"\xff\xd9"
    )


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _means(plane: npt.NDArray[np.float64], rows: int, columns: int) -> npt.NDArray[np.float64]:
    tall, wide = plane.shape[0] // rows, plane.shape[1] // columns
    means: npt.NDArray[np.float64] = plane.reshape(rows, tall, columns, wide).mean((1, 3))
    return means


def _dc(difference: int) -> str:
    size = abs(difference).bit_length()
    code = format(size, f"0{_DC_SIZE}b")
    if not size:
        return code
    return code + format(difference if difference > 0 else difference + (1 << size) - 1, f"0{size}b")
