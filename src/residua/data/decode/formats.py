"""Which formats are read, and how each is recognised: by its first bytes, never by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from PIL import Image

from residua.data.decode.bad_image import BadImage

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP",
    ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".jp2": "JPEG2000",
    ".avif": "AVIF", ".tga": "TGA", ".heic": "HEIF", ".heif": "HEIF", ".jxl": "JXL",
}  # fmt: skip
"""Extension of every file that is taken for an image -> Pillow's name of its format."""

_PLUGINS = {
    "JPEG": "PIL.JpegImagePlugin", "PNG": "PIL.PngImagePlugin", "GIF": "PIL.GifImagePlugin",
    "BMP": "PIL.BmpImagePlugin", "WEBP": "PIL.WebPImagePlugin", "TIFF": "PIL.TiffImagePlugin",
    "PPM": "PIL.PpmImagePlugin", "JPEG2000": "PIL.Jpeg2KImagePlugin", "AVIF": "PIL.AvifImagePlugin",
    "TGA": "PIL.TgaImagePlugin", "HEIF": "pillow_heif", "JXL": "pillow_jxl",
}  # fmt: skip
"""Format -> the module that reads it. No other reader is ever tried: each one more is one more to trust."""

_MISSING = {
    "AVIF": "an AVIF image, which needs Pillow 11.3 or later: pip install -U pillow",
    "HEIF": 'a HEIC photo, which needs an extra: pip install "residua[heif]"',
    "JXL": 'a JPEG XL image, which needs an extra: pip install "residua[jxl]"',
}
"""Format -> the reason where its reader is not installed; it holds the remedy: lists of files show no more."""

_SIGNATURES = (
    (b"\xff\xd8", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF87a", "GIF"), (b"GIF89a", "GIF"), (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"), (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"), (b"\xff\x0a", "JXL"), (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
)  # fmt: skip

_FOREIGN = (
    (b"8BPS", "a Photoshop document"), (b"%PDF", "a PDF document"), (b"%!PS", "a PostScript document (EPS)"),
    (b"\xc5\xd0\xd3\xc6", "an EPS document"), (b"\0\0\1\0", "a Windows icon (ICO)"), (b"\0\0\2\0", "a cursor (CUR)"),
    (b"icns", "an Apple icon (ICNS)"), (b"DDS ", "a DDS texture"), (b"\x01\xda", "an SGI image"),
    (b"\x0a\x05\x01", "a PCX image"), (b"\x0a\x03\x01", "a PCX image"), (b"qoif", "a QOI image"),
    (b"SIMPLE  =", "a FITS image"), (b"v/1\1", "an OpenEXR image"), (b"#?RADIANCE", "a Radiance HDR image"),
    (b"gimp xcf", "a GIMP document"), (b"\x89HDF\r\n\x1a\n", "an HDF5 file"), (b"II\xbc", "a JPEG XR image"),
    (b"\x89JNG", "a JNG image"), (b"\x8aMNG", "an MNG animation"), (b"FORM", "an IFF image"), (b"P7\n", "a PAM image"),
    (b"PF\n", "a floating-point PFM image"), (b"Pf\n", "a floating-point PFM image"), (b"<svg", "an SVG drawing"),
    (b"IIRO", "an Olympus raw photo"), (b"IIU\0", "a Panasonic raw photo"), (b"FUJIFILM", "a Fujifilm raw photo"),
    (b"PK\3\4", "a ZIP archive"), (b"\x1f\x8b", "a gzip file"), (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"<!DOCTYPE html", "a web page"), (b"<html", "a web page"), (b"<?xml", "an XML document"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
)  # fmt: skip
"""First bytes -> what else people keep under the name of an image. Letters compare without case."""

_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))


def _version() -> str:
    """Return what the pixels depend on: our own conversions, and the decoders with their versions."""
    parts = ["3"]
    for package in ("pillow", "simplejpeg", "pillow-heif", "pillow-jxl-plugin"):
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


VERSION = _version()
"""Part of the key of every decode cache. Its first number is raised when the pixels of any image change."""


def format_of(data: bytes) -> str:
    """Return Pillow's name of the format that `data` begins like, or "" where it is none that is read."""
    for signature, form in _SIGNATURES:
        if data.startswith(signature):
            return form
    if data[:2] == b"BM" and len(data) > 18:
        return "BMP"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if re.match(rb"P[1-6][\s#]", data):
        return "PPM"
    if data[4:8] == b"ftyp":
        return _box_format(data)
    return "TGA" if _like_tga(data) else ""


def check_known(data: bytes, name: str) -> str:
    """Return the format that `data` begins like.

    Raises:
        BadImage: none that is read; the reason names what it is, as far as that can be seen.
    """
    if form := format_of(data):
        return form
    if not data:
        raise BadImage(name, "empty file (0 bytes)")
    head = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, kind in _FOREIGN:
        if data.startswith(signature) or head.startswith(signature.lower()):
            raise BadImage(name, f"{kind}, which is not read", "Convert it to PNG or JPEG, or remove it")
    if data[128:132] == b"DICM":
        raise BadImage(name, "a DICOM image, which is not read", "Convert it to PNG")
    if data[4:8] == b"ftyp":
        raise BadImage(name, "a video or an unknown kind of HEIF, which is not read", "Convert it, or remove it")
    start = data[:8]
    readable = start.isascii() and start.decode("ascii", "replace").isprintable()
    words = f'"{start.decode("ascii")}"' if readable else f"the bytes {start.hex(' ')}"
    raise BadImage(name, f"not an image (it begins with {words})")


def opener(form: str, name: str) -> Callable[[Any, str], Image.Image]:
    """Return Pillow's factory for a format: (open stream, "") -> the image, its pixels not yet decoded.

    Called without `Image.open`, which would hide why a header is refused, and warn of sizes that are allowed here.

    Raises:
        BadImage: the reader of this format is not installed; the reason names the extra.
    """
    if form not in Image.OPEN and find_spec(_PLUGINS[form]) is not None:
        plugin = import_module(_PLUGINS[form])
        if form == "HEIF":
            plugin.register_heif_opener()
    if form not in Image.OPEN:
        raise BadImage(name, _MISSING.get(form, f"a {form}, which this Pillow does not read"), "Or convert it to PNG")
    factory: Callable[[Any, str], Image.Image] = Image.OPEN[form][0]
    return factory


def _box_format(data: bytes) -> str:
    """Return the format of an ISO media file, by its major brand and then by the compatible ones."""
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[offset : offset + 4] for offset in range(16, size - 3, 4))]
    if {b"avif", b"avis"} & set(brands):
        return "AVIF"
    return "HEIF" if _HEIF_BRANDS & set(brands) else ""


def _like_tga(data: bytes) -> bool:
    """Check the header of a Truevision TGA, which has no signature."""
    if len(data) < 18 or data[1] > 1 or data[16] not in (1, 8, 16, 24, 32) or data[17] & 0xC0:
        return False
    if not any(data[12:14]) or not any(data[14:16]):
        return False
    # Without a colour map its five bytes are zero; in an icon, which begins alike, they are not.
    return data[2] in (1, 2, 9, 10) if data[1] else data[2] in (2, 3, 10, 11) and not any(data[3:8])
