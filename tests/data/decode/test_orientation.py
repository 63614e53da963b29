"""Every format that can state an orientation gives the upright picture, once turned and not twice."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.pictures import encoded, picture
from residua.data.decode import EncodedImage, decode, images, size_of
from residua.weights.run import pixels_of

# EXIF orientation -> how an upright picture is stored so that the orientation turns it back.
_T = Image.Transpose
STORED = {
    2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE, 6: _T.ROTATE_90,
    7: _T.TRANSVERSE, 8: _T.ROTATE_270,
}  # fmt: skip
FORMS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "TIFF": {},
    "TIFF tiff_lzw": {},
    "TIFF tiff_adobe_deflate": {},
    "TIFF jpeg": {"quality": 95},
}


def stored(orientation: int, form: str) -> bytes:
    """Return a file whose pixels are turned and whose orientation states how."""
    upright = picture(7, 48, 64)
    image = upright.transpose(STORED[orientation]) if orientation > 1 else upright
    name, _, compression = form.partition(" ")
    options = {**FORMS[form], **({"compression": compression} if compression else {})}
    if name == "TIFF":
        return encoded(image, "TIFF", tiffinfo={0x0112: orientation}, **options)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, name, exif=exif, **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_every_format(orientation: int, form: str) -> None:
    data = stored(orientation, form)
    truth = np.asarray(picture(7, 48, 64)).astype(int)
    pixels = decode(data)
    assert pixels.shape == truth.shape
    assert np.abs(pixels - truth).mean() < 3
    assert EncodedImage(data).orientation == orientation
    assert size_of(data) == ((64, 48) if orientation > 4 else (48, 64))
    opened = EncodedImage(data)
    assert opened.size == (48, 64)
    assert np.array_equal(opened.decode(), pixels)
    # The same picture, opened by the caller with Pillow.
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(pixels_of(image), pixels) or form == "JPEG"
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert np.abs(pixels_of(image) - truth).mean() < 3


def test_the_header_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = images.read_header, []
    monkeypatch.setattr(images, "read_header", lambda data, name: calls.append(name) or read(data, name))
    opened = EncodedImage(stored(6, "JPEG"), "photo.jpg")
    assert opened.decode(opened.size).shape == (48, 64, 3)
    assert calls == ["photo.jpg"]


def test_a_reduced_scale_is_turned_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(7, 480, 640).transpose(STORED[6]), "JPEG", exif=exif)
    whole = decode(data)
    part = decode(data, min_side=120)
    assert part.shape == (120, 160, 3)
    assert np.abs(part.astype(int) - np.asarray(Image.fromarray(whole).resize((160, 120)))).mean() < 3


def test_a_damaged_orientation_counts_as_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(7), "PNG", exif=exif)
    place = data.index(b"eXIf")
    damaged = data[: place + 10] + bytes([data[place + 10] ^ 0xFF]) + data[place + 11 :]
    assert decode(damaged).shape == (24, 32, 3)
