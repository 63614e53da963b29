"""Netpbm's grey and RGB images, read at once and not value by value."""

from __future__ import annotations

import time

import numpy as np
import pytest

from residua.data.decode import BadImage, decode


def test_comments_may_stand_wherever_a_gap_may() -> None:
    data = b"P2#a\n# b 7 7\n2 # c\r3\n#d\n255#e\n0 50 # 100 100\n100 150\n200 255\n"
    assert decode(data)[..., 0].tolist() == [[0, 50], [100, 150], [200, 255]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"P5 4 4 255\n" + bytes(15), "truncated PPM"),
        (b"P6 4 4 4095\n" + bytes(95), "truncated PPM"),
        (b"P2 2 2 255\n1 2 3", "truncated PPM"),
        (b"P2 2 2 255\n", "truncated PPM"),
        (b"P2 1 1 255\n \n", "truncated PPM"),
        (b"P2 2 2 255\n1 2 3 x", "something that is no number"),
        (b"P2 2 2 255\n1 2 3 99999999999999999999", "something that is no number"),
        (b"P5 2 2 0\n" + bytes(4), "corrupt header of a PPM"),
        (b"P5 2 2 65536\n" + bytes(8), "corrupt header of a PPM"),
        (b"P5 0 2 255\n", "0 × 2 pixels"),
        (b"P5 20000 20000 255\n", "400 million pixels"),
        (b"P5 4 4", "corrupt header of a PPM"),
        (b"P6 " + b"1" * 20, "corrupt header of a PPM (Token too long in file header: "),
    ],
)
def test_what_is_damaged_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage) as refused:
        decode(data)
    assert reason in refused.value.reason


def test_values_above_white_are_white() -> None:
    assert decode(b"P2 2 1 100\n100 200\n")[0, :, 0].tolist() == [255, 255]
    assert decode(b"P2 2 1 1023\n1023 2000\n")[0, :, 0].tolist() == [255, 255]


def test_12_bits_take_no_longer_than_8() -> None:
    values = np.random.default_rng(0).integers(0, 4096, (1500, 2000))
    data = b"P5 2000 1500 4095\n" + values.astype(">u2").tobytes()
    began = time.monotonic()
    pixels = decode(data)
    # Value by value it takes five seconds.
    assert time.monotonic() - began < 2
    assert np.array_equal(pixels[..., 1], values >> 4)
