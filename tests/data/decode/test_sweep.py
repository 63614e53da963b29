"""Every mode, depth, photometric interpretation and alpha equals one 8-bit truth."""

from __future__ import annotations

import numpy as np
import pytest

from data.decode.forms import CASES, GREY, TRUTH, deep, with_alpha
from data.decode.handmade import tiff
from residua.data.decode import BadImage, decode, orientation_of, size_of


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
        assert orientation_of(data) == 1
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(deep(GREY, 10), 10, 1), "1 × 10 bits, unsigned, grey, little-endian, compression 1"),
        (tiff(deep(TRUTH, 12), 12, 2, order=">"), "3 × 12 bits, unsigned, RGB, big-endian, compression 1"),
        (tiff(deep(with_alpha(GREY), 16), 16, 1), "2 × 16 bits, unsigned, grey, little-endian, compression 1"),
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
    with pytest.raises(BadImage, match=r"outside 0\.\.65535"):
        decode(tiff(GREY * 1000, 32, 1))
