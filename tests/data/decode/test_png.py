"""What stands beside the pixels of a PNG does not decide whether they are read."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data.decode.handmade import chunk, png
from data.pictures import encoded, picture
from residua.data.decode import BadImage, EncodedImage, decode

TRUTH = np.asarray(picture(3, 9, 14)).astype(np.int64)


def with_chunks(before: bytes = b"", after: bytes = b"") -> bytes:
    return png(TRUTH, 8, 2, before, after=after)


def spoilt(data: bytes, kind: bytes) -> bytes:
    """Return `data` with one bit of a chunk's body turned, so that its checksum is wrong."""
    place = data.index(kind) + 5
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


BESIDE = {
    "a comment of 2 MiB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20))),
    "an international comment of 2 MiB": chunk(b"iTXt", b"C\0\1\0\0\0" + zlib.compress(bytes(2 << 20))),
    "a plain comment of 2 MiB": chunk(b"tEXt", b"Comment\0" + bytes([65]) * (2 << 20)),
    "70 comments of 1 MiB": chunk(b"zTXt", b"C\0\0" + zlib.compress(bytes((1 << 20) - 1))) * 70,
    "a profile of 2 MiB": chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2 << 20))),
    "a profile that is none": chunk(b"iCCP", b"p\0\0none"),
    "a wrong checksum of a text": spoilt(chunk(b"tEXt", b"a\0b"), b"tEXt"),
    "a wrong checksum of a profile": spoilt(chunk(b"iCCP", b"p\0\0" + zlib.compress(b"none")), b"iCCP"),
    "a wrong checksum of a time": spoilt(chunk(b"tIME", bytes(7)), b"tIME"),
    "a wrong checksum of significant bits": spoilt(chunk(b"sBIT", b"\5\5\5"), b"sBIT"),
    "a short gamma": chunk(b"gAMA", b"\0"),
    "a private chunk": chunk(b"prVt", bytes(100)),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_the_pixels(name: str) -> None:
    assert np.array_equal(decode(with_chunks(BESIDE[name])), TRUTH)
    if not name.endswith("bits"):
        assert np.array_equal(decode(with_chunks(after=BESIDE[name])), TRUTH)


def test_bytes_after_the_end_are_no_part_of_it() -> None:
    assert np.array_equal(decode(with_chunks() + b"appended" * 100), TRUTH)


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"PLTE", b"tRNS"])
def test_what_the_pixels_need_must_be_whole(kind: bytes) -> None:
    palette = chunk(b"PLTE", bytes(range(48))) + chunk(b"tRNS", bytes([0, 128]))
    data = png(TRUTH[..., :1] % 16, 8, 3, palette)
    assert decode(data).shape == TRUTH.shape
    with pytest.raises(BadImage, match=f"wrong checksum of its {kind.decode()} chunk"):
        decode(spoilt(data, kind))


def test_a_hole_in_the_pixels_is_refused() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    data = bytearray(encoded(noise, "PNG"))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(BadImage, match="corrupt PNG"):
        decode(bytes(data))


def test_chunks_that_must_be_known_and_are_not() -> None:
    with pytest.raises(BadImage, match="unknown chunk b'ABCD'"):
        decode(with_chunks(chunk(b"ABCD", b"")))
    data = with_chunks()
    with pytest.raises(BadImage, match="Apple"):
        decode(data[:8] + chunk(b"CgBI", bytes(4)) + data[8:])


def test_the_first_frame_of_an_animation() -> None:
    frames = [picture(seed) for seed in (1, 2, 3)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert b"acTL" in data
    assert np.array_equal(decode(data), np.asarray(frames[0]))
    # A still image that is no part of the animation comes first.
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    assert np.array_equal(decode(data), np.asarray(frames[0]))
    control = struct.pack(">II", 2**31 - 1, 0)
    assert np.array_equal(decode(with_chunks(chunk(b"acTL", control))), TRUTH)


def test_the_orientation_in_xmp_counts() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = with_chunks(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    assert EncodedImage(data).orientation == 6
    assert decode(data).shape == (14, 9, 3)


def test_a_million_chunks_take_a_moment() -> None:
    assert np.array_equal(decode(with_chunks(chunk(b"prVt", b"") * 200_000)), TRUTH)
