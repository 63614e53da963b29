"""JPEG in the forms that its simple decoder does not take, and its bounds."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from data.decode.handmade_jpeg import jpeg_of_blocks
from data.pictures import encoded, picture
from residua.data.decode import BadImage, EncodedImage, decode, open_image, size_of
from residua.data.decode.jpeg import MAX_SCANS, count_scans, read_header

RARE = [
    ((3, 1), (1, 1), (1, 1)), ((1, 3), (1, 1), (1, 1)), ((1, 4), (1, 1), (1, 1)), ((4, 2), (1, 1), (1, 1)),
    ((2, 4), (1, 1), (1, 1)), ((2, 1), (2, 1), (1, 1)), ((4, 1), (2, 1), (2, 1)), ((2, 2), (2, 1), (1, 2)),
    ((2, 2), (1, 1), (2, 1)), ((2, 1), (1, 2), (1, 1)), ((1, 1), (2, 2), (2, 2)),
]  # fmt: skip


def quarters(height: int, width: int) -> np.ndarray:
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left], pixels[:top, left:] = (255, 0, 0), (0, 255, 0)
    pixels[top:, :left], pixels[top:, left:] = (0, 0, 255), (255, 255, 0)
    return pixels


@pytest.mark.parametrize("sampling", [((1, 1),) * 3, ((2, 2), (1, 1), (1, 1)), *RARE], ids=str)
def test_every_sampling_decodes(sampling: tuple[tuple[int, int], ...]) -> None:
    # Sides of which every block fits into a quarter, at any of the samplings.
    truth = quarters(192, 192)
    data = jpeg_of_blocks(Image.fromarray(truth), sampling)
    pixels = decode(data)
    assert pixels.shape == truth.shape
    assert np.abs(pixels.astype(int) - truth).mean() < 4
    assert size_of(data) == (192, 192)
    assert EncodedImage(data).orientation == 1
    assert decode(data, min_side=50).shape[0] >= 50


def test_a_sampling_that_is_not_allowed_is_refused() -> None:
    # More than ten blocks in a unit (T.81, B.2.3).
    data = jpeg_of_blocks(Image.fromarray(quarters(48, 48)), ((3, 3), (1, 1), (1, 1)))
    with pytest.raises(BadImage, match="JPEG"):
        decode(data)


def test_a_truncated_file_of_rare_sampling_is_refused() -> None:
    data = jpeg_of_blocks(picture(3, 192, 192), RARE[0])
    with pytest.raises(BadImage, match="truncated JPEG"):
        decode(data[: len(data) * 2 // 3])


def scans(count: int) -> bytes:
    """Return a progressive JPEG that repeats its last scan."""
    data = encoded(picture(1, 64, 64), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    have = data.count(b"\xff\xda")
    return data[:last] + data[last:-2] * (count - have + 1) + data[-2:]


def scans_of(data: bytes) -> int:
    return count_scans(data, read_header(data, ""))


def test_scans_are_bounded() -> None:
    began = time.monotonic()
    for count in (MAX_SCANS + 1, 20_000):
        data = scans(count)
        assert scans_of(encoded(picture(1), "JPEG", progressive=True)) > 1
        for read in (decode, size_of, EncodedImage):
            with pytest.raises(BadImage, match=f"a progressive JPEG of {count} scans"):
                read(data)
    assert time.monotonic() - began < 5
    assert decode(encoded(picture(1), "JPEG", progressive=True)).shape == (24, 32, 3)


def test_scans_of_a_preview_do_not_count() -> None:
    data = encoded(picture(1), "JPEG")
    preview = b"Exif\0\0" + b"\xff\xda" * 1000
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    assert np.array_equal(decode(data[:2] + segment + data[2:]), decode(data))


def test_samples_of_12_bits_are_named() -> None:
    data = bytearray(encoded(picture(1), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(BadImage, match="a JPEG of 12 bits per sample"):
        decode(bytes(data))


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_with_and_without_the_adobe_marker(adobe: bool) -> None:
    image = picture(6, 48, 64)
    cmyk = Image.merge(
        "CMYK", [*[Image.fromarray(255 - np.asarray(band)) for band in image.split()], Image.new("L", image.size)]
    )
    data = encoded(cmyk, "JPEG", quality=95, subsampling=0)
    place = data.index(b"Adobe") - 4
    if not adobe:
        # Pillow takes Adobe's convention, inverted values, in every file.
        data = data[:place] + data[place + 16 :]
    assert np.abs(decode(data).astype(int) - np.asarray(image)).mean() < 4


def test_exif_after_the_frame_header_counts() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(7), "JPEG", exif=exif)
    start = data.index(b"\xff\xe1")
    size = 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    segment, rest = data[start : start + size], data[:start] + data[start + size :]
    place = rest.index(b"\xff\xda")
    late = rest[:place] + segment + rest[place:]
    assert EncodedImage(late).orientation == 6
    assert decode(late).shape == (32, 24, 3)


def test_fill_bytes_before_markers() -> None:
    data = encoded(picture(1), "JPEG")
    place = data.index(b"\xff\xdb")
    assert np.array_equal(decode(data[:place] + b"\xff" * 5 + data[place:]), decode(data))


def test_scans_of_a_baseline_file_are_counted_up_to_its_end() -> None:
    data = encoded(picture(1), "JPEG")
    assert scans_of(data) == 1
    # A camera's second image follows the end of the first.
    assert scans_of(data + data) == 1
    start = data.index(b"\xff\xda")
    split = data[:start] + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\0" + data[start:]
    assert scans_of(split) == 2


@pytest.mark.parametrize("progressive", [False, True])
def test_grey_and_rgb_without_conversion(progressive: bool) -> None:
    grey = picture(3).convert("L")
    pixels = decode(encoded(grey, "JPEG", quality=95, progressive=progressive))
    assert np.abs(pixels.astype(int) - np.asarray(grey)[..., None]).mean() < 3
    data = encoded(picture(3), "JPEG", quality=95, keep_rgb=True, progressive=progressive)
    assert np.abs(decode(data).astype(int) - np.asarray(picture(3))).mean() < 3
    with open_image(data) as image:
        assert image.format == "JPEG"
    assert io.BytesIO(data).read(2) == b"\xff\xd8"
