"""Every mode, depth, photometric interpretation and alpha equals one 8-bit truth."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data.decode.forms import CASES, GREY, TRUTH, deep, with_alpha
from data.decode.handmade import bmp, tiff
from residua.data.decode import BadImage, EncodedImage, decode, decode_opened, size_of
from residua.data.decode.beyond import deep_colour


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "TGA", "PNM"])
def test_every_form_equals_the_truth(form: str) -> None:
    wrong = []
    for name, (data, seen, allowed) in CASES.items():
        if not name.startswith(form):
            continue
        try:
            pixels = decode(data)
        except BadImage as error:
            wrong.append(f"{name}: {error.reason}")
            continue
        if pixels.shape != seen.shape:
            wrong.append(f"{name}: {pixels.shape}")
        elif (most := np.abs(pixels - seen).max()) > allowed:
            wrong.append(f"{name}: differs by {most}")
        assert size_of(data) == (9, 14)
        assert EncodedImage(data).orientation == 1
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(deep(GREY, 10), 10, 1), "1 × 10 bits, unsigned, grey, little-endian, compression 1"),
        (tiff(deep(TRUTH, 12), 12, 2, order=">"), "3 × 12 bits, unsigned, RGB, big-endian, compression 1"),
        (tiff(deep(with_alpha(GREY), 16), 16, 1), "2 × 16 bits, unsigned, grey, little-endian, compression 1"),
        (tiff(GREY, 8, 1, tags={339: (3, [2])}), "1 × 8 bits, signed, grey, little-endian, compression 1"),
        (tiff(GREY, 8, 1, order=">", tags={339: (3, [2])}), "1 × 8 bits, signed, grey, big-endian, compression 1"),
        (tiff(GREY, 8, 1, tags={259: (3, [34887])}), "1 × 8 bits, unsigned, grey, little-endian, compression 34887"),
    ],
)
def test_what_is_not_read_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage) as refused:
        decode(data)
    assert refused.value.reason == f"a TIFF of {reason}, which is not read"


def test_photos_in_a_raw_format_are_not_their_previews() -> None:
    for tags in ({50706: (4, [1])}, {254: (4, [1]), 330: (4, [8])}):
        with pytest.raises(BadImage, match="a camera's raw photo"):
            decode(tiff(TRUTH, 8, 2, tags=tags))


def test_ranges_that_are_not_declared_are_refused() -> None:
    tags = {339: (3, [3])}
    with pytest.raises(BadImage, match="floating-point"):
        decode(tiff(GREY, 32, 1, tags=tags, content=(GREY / 255).astype("<f4").tobytes()))
    for limits in ((1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))):
        limited = {**tags, 340: (11, [limits[0]]), 341: (11, [limits[1]])}
        with pytest.raises(BadImage, match="floating-point"):
            decode(tiff(GREY, 32, 1, tags=limited, content=(GREY / 255).astype("<f4").tobytes()))
    with pytest.raises(BadImage, match="integer pixels of -1 to"):
        decode(tiff(np.where(GREY > 100, 0xFFFF, GREY), 16, 1, tags={339: (3, [2])}))
    for scale in (1000, 0x01010101):
        extrema = f"{GREY.min() * scale} to {GREY.max() * scale}"
        with pytest.raises(BadImage, match=rf"integer pixels of {extrema}, outside 0\.\.65535"):
            decode(tiff(GREY * scale, 32, 1))


@pytest.mark.parametrize("masks", [(0x3FF, 0xFFC00, 0x3FF00000, 0), (0xFF, 0xFF0000, 0xFF00, 0)])
def test_channels_of_a_bmp_that_pillow_does_not_unpack_are_no_damage(masks: tuple[int, ...]) -> None:
    rows = [row.astype(np.uint8).tobytes() for row in with_alpha(TRUTH)]
    with pytest.raises(BadImage, match=r"a BMP of a kind that is not read \(Unsupported BMP bitfields layout\)"):
        decode(bmp(rows, 14, 32, header=108, masks=masks))
    with pytest.raises(BadImage, match=r"a BMP of a kind that is not read \(Unsupported BMP pixel depth"):
        decode(bmp(rows, 14, 64))


def test_colours_whose_lower_bytes_are_lost_are_refused() -> None:
    declared = {281: (3, [4095])}
    for deflate in (False, True):
        with pytest.raises(BadImage, match="16-bit colours with white at 4095"):
            decode(tiff(deep(TRUTH, 12), 16, 2, planar=True, deflate=deflate, tags=declared))
    data = tiff(deep(TRUTH, 12), 16, 2, tags=declared)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(decode_opened(opened), TRUTH)
        with pytest.raises(BadImage, match="only the upper 8 bits"):
            decode_opened(opened)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colours_are_upright_and_banded(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep_colour, "_BAND_PIXELS", 28)
    eight = decode(tiff(TRUTH, 8, 2, tags={274: (3, [orientation])}))
    for deflate in (False, True):
        tags = {274: (3, [orientation]), 281: (3, [4095])}
        assert np.array_equal(decode(tiff(deep(TRUTH, 12), 16, 2, deflate=deflate, tags=tags)), eight)
