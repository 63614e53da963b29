"""Every reader of foreign bytes that is fuzzed, by name: add yours here."""

from __future__ import annotations

from collections.abc import Sequence

from data.decode.forms import CASES
from data.pictures import encoded, picture
from faults.fuzz.drive import Target
from faults.fuzz.weights_readers import WEIGHTS
from residua.data.decode import BadImage, EncodedImage, decode, size_of


def _images(form: str, **options: object) -> Sequence[bytes]:
    modes = {"GIF": ("P", "L"), "PNG": ("RGB", "P", "LA", "1"), "TIFF": ("RGB", "CMYK", "1"), "PPM": ("RGB", "L", "1")}
    return [encoded(picture(5).convert(mode), form, **options) for mode in modes.get(form, ("RGB", "L"))]


def _read(data: bytes) -> None:
    size_of(data)
    EncodedImage(data)
    decode(data)


def _image_target(form: str, **options: object) -> Target:
    return Target(lambda: _images(form, **options), _read, (BadImage,))


TARGETS: dict[str, Target] = {
    "image-jpeg": _image_target("JPEG"),
    "image-jpeg-progressive": _image_target("JPEG", progressive=True),
    "image-png": _image_target("PNG"),
    "image-gif": _image_target("GIF"),
    "image-bmp": _image_target("BMP"),
    "image-webp": _image_target("WEBP"),
    "image-tiff": _image_target("TIFF"),
    "image-tiff-lzw": _image_target("TIFF", compression="tiff_lzw"),
    "image-tiff-jpeg": Target(lambda: [encoded(picture(5), "TIFF", compression="jpeg")], _read, (BadImage,)),
    "image-pnm": _image_target("PPM"),
    "image-jpeg2000": _image_target("JPEG2000"),
    "image-avif": Target(lambda: [encoded(picture(5), "AVIF")], _read, (BadImage,)),
    "image-tga": _image_target("TGA"),
    "image-tga-rle": _image_target("TGA", compression="tga_rle"),
    **WEIGHTS,
    "image-forms": Target(lambda: [data for data, _, _ in CASES.values()], _read, (BadImage,)),
}
"""Name -> reader. Names of one kind share their first word."""
