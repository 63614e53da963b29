"""No pixel is decoded before its memory is counted, whatever states the orientation and where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image, ImageFile

from data.decode.handmade import chunk, png
from data.pictures import encoded, picture
from residua.data.decode import EncodedImage, decode, images
from residua.data.decode.orientation import orientation_left

TURNED = Image.Exif()
TURNED[0x0112] = 6
TRUTH = np.asarray(picture(3, 9, 14)).astype(np.int64)
LATE = png(TRUTH, 8, 2, after=chunk(b"eXIf", TURNED.tobytes().removeprefix(b"Exif\0\0")))
FILES = {
    "PNG": encoded(picture(3), "PNG"),
    "PNG turned": encoded(picture(3), "PNG", exif=TURNED),
    "PNG turned behind its pixels": LATE,
    "TIFF": encoded(picture(3), "TIFF"),
    "GIF": encoded(picture(3).quantize(16), "GIF"),
    "BMP": encoded(picture(3), "BMP"),
    "WEBP turned": encoded(picture(3), "WEBP", exif=TURNED),
    "JPEG CMYK": encoded(picture(3).convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("name", FILES)
def test_memory_is_counted_before_pixels_are_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events = []
    load = ImageFile.ImageFile.load

    @contextmanager
    def lease(size: int) -> Iterator[None]:
        events.append("counted")
        yield

    def noted(image: ImageFile.ImageFile) -> object:
        events.append("decoded")
        return load(image)

    monkeypatch.setattr(images, "FREE_BYTES", 0)
    monkeypatch.setattr(images.BUDGET, "lease", lease)
    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    EncodedImage(FILES[name])
    assert events == []
    decode(FILES[name])
    assert events[:2] == ["counted", "decoded"]


def test_an_orientation_behind_the_pixels_is_found_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EncodedImage(LATE).orientation == 6
    assert np.array_equal(decode(LATE), np.rot90(TRUTH, -1))
    sizes = []

    @contextmanager
    def lease(size: int) -> Iterator[None]:
        sizes.append(size)
        yield

    monkeypatch.setattr(images, "FREE_BYTES", 0)
    monkeypatch.setattr(images.BUDGET, "lease", lease)
    decode(LATE)
    decode(png(TRUTH, 8, 2))
    # The turned image is a second one of three bytes per pixel.
    assert sizes[0] - sizes[1] == 3 * TRUTH.shape[0] * TRUTH.shape[1]


def test_running_out_of_memory_is_no_damaged_orientation(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(3)

    def exhausted() -> Image.Exif:
        raise MemoryError

    monkeypatch.setattr(image, "getexif", exhausted)
    with pytest.raises(MemoryError):
        orientation_left(image)
