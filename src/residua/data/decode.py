"""From an encoded image to RGB uint8: one way, for training and for prediction.

Conversions: grey is repeated over the three channels; 16-bit grey keeps its upper 8 bits; palettes are
looked up; CMYK follows Pillow; transparency is laid over white; EXIF orientation is applied; of an animation
the first frame counts.
"""

from __future__ import annotations

import io
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from residua._base.errors import InputError

Pixels = npt.NDArray[np.uint8]

VERSION = 1
"""Part of the key of every decode cache: raise it when the pixels of any image change."""

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP",
    ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".jp2": "JPEG2000",
    ".avif": "AVIF", ".tga": "TGA",
}  # fmt: skip
"""Extension of every file that is taken for an image -> Pillow's name of its format."""

# No other format is ever tried, whatever a file's name: Pillow hands EPS to an interpreter outside, and each decoder
# more is one more to trust. Several pictures in one JPEG, as phones write them (MPO), open as JPEG.
_TRIED = tuple(form for form in dict.fromkeys(FORMATS.values()) if form != "AVIF" or find_spec("PIL.AvifImagePlugin"))

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 1 << 30

# Complaints of libjpeg after which every pixel is nevertheless there: cameras are known to write such files. After
# damage, hundreds of bytes are left over.
_HARMLESS = re.compile(r" 1?\d extraneous bytes before marker 0xd9|Invalid SOS parameters for sequential JPEG")


class BadImage(InputError):
    """An image that cannot be decoded.

    Attributes:
        name: the file, or "the image" for bytes.
        reason: what is wrong with it, a short phrase.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(
            f"{name}: {reason}", "an image file that decodes completely", "Mend, replace or delete the file"
        )

    def __reduce__(self) -> tuple[type[BadImage], tuple[str, str]]:  # type: ignore[override]
        return type(self), (self.name, self.reason)


def decode(source: bytes | Path, *, min_side: int | None = None) -> Pixels:
    """Decode an image to uint8 (H, W, 3), RGB.

    Args:
        source: the encoded bytes, or the path of a file.
        min_side: allow a JPEG to be decoded at a reduced scale whose shorter side is still at least this,
            pixels. Faster, and slightly different pixels: for the training stream only.

    Raises:
        BadImage: unreadable, empty, truncated, corrupt, of an unknown format, or above 100 million pixels;
            the size is read from the header, before memory is allocated.
    """
    data, name = read(source)
    return decode_bytes(data, name, (min_side or 0, min_side or 0))


def read(source: bytes | Path) -> tuple[bytes, str]:
    """Return the encoded bytes and the name to use in errors.

    Raises:
        BadImage: the file cannot be read, is empty, or is above 1 GiB.
    """
    if isinstance(source, bytes):
        return source, "the image"
    name = str(source)
    try:
        with open(source, "rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadImage(name, f"cannot be read ({error.strerror or error})") from None
    if len(data) > MAX_FILE_BYTES:
        raise BadImage(name, "larger than 1 GiB")
    return data, name


def decode_bytes(data: bytes, name: str = "the image", min_size: tuple[int, int] = (0, 0)) -> Pixels:
    """Decode `data`, a JPEG at the least scale that keeps `min_size`, (height, width); (0, 0): full."""
    if not data:
        raise BadImage(name, "empty file (0 bytes)")
    if data[:2] == b"\xff\xd8":
        return _decode_jpeg(data, name, min_size)
    return _decode_other(data, name)


def size_of(data: bytes, name: str = "the image") -> tuple[int, int]:
    """Return (height, width) in pixels as stored, before any rotation, from the header alone.

    Raises:
        BadImage: no image header, or above 100 million pixels.
    """
    if data[:2] == b"\xff\xd8":
        return _jpeg_header(data, name)[:2]
    with open_image(data, name) as image:
        return image.height, image.width


def orientation_of(data: bytes, name: str = "the image") -> int:
    """Return the EXIF orientation, 1 (upright) to 8."""
    if data[:2] == b"\xff\xd8" and not _has_metadata(data):
        return 1
    with open_image(data, name) as image:
        return _orientation(image)


def _decode_jpeg(data: bytes, name: str, min_size: tuple[int, int]) -> Pixels:
    _, _, colorspace = _jpeg_header(data, name)
    if colorspace in ("CMYK", "YCCK"):
        return _decode_other(data, name)
    orientation = orientation_of(data, name)
    height, width = min_size if orientation < 5 else min_size[::-1]
    try:
        pixels = _simplejpeg(data, height, width, strict=True)
    except ValueError as error:
        if not _HARMLESS.search(str(error)):
            raise BadImage(name, _jpeg_reason(str(error))) from None
        try:
            pixels = _simplejpeg(data, height, width, strict=False)
        except ValueError as worse:
            raise BadImage(name, _jpeg_reason(str(worse))) from None
    return upright(pixels, orientation)


def _has_metadata(data: bytes) -> bool:
    """Tell whether a JPEG has an APP1 segment (EXIF or XMP) before its pixels, without asking Pillow."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xE1:
            return True
        if marker == 0xDA:
            return False
        # A marker may be preceded by any number of fill bytes (ITU-T T.81, B.1.1.2).
        place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    # Not as usual: let Pillow look.
    return place + 4 <= len(data)


def _simplejpeg(data: bytes, height: int, width: int, *, strict: bool) -> Pixels:
    # Where a reduced scale is allowed, so are the quicker transform and upsampling. (min_factor 2: from half scale on
    # libjpeg-turbo's transforms are fast ones, between half and full they are not.)
    reduced = bool(height or width)
    pixels: Pixels = simplejpeg.decode_jpeg(
        data,
        "RGB",
        fastdct=reduced,
        fastupsample=reduced,
        min_height=height,
        min_width=width,
        min_factor=2 if reduced else 1,
        strict=strict,
    )
    return pixels


def _jpeg_header(data: bytes, name: str) -> tuple[int, int, str]:
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError) as error:
        # KeyError: the header names a colour space that simplejpeg does not know.
        raise BadImage(name, _jpeg_reason(str(error))) from None
    _refuse_giant(int(height), int(width), name)
    return int(height), int(width), str(colorspace)


def _jpeg_reason(message: str) -> str:
    if "end of JPEG file" in message:
        return "truncated JPEG"
    return f"corrupt JPEG ({message.strip().removeprefix('Corrupt JPEG data: ')})"


def _decode_other(data: bytes, name: str) -> Pixels:
    with open_image(data, name) as image:
        orientation = _orientation(image)
        try:
            return upright(_to_rgb(image, name), orientation)
        except BadImage:
            raise
        except Exception as error:  # Decoders raise what they like; it is this file's fault whatever it is.
            word = "truncated" if "truncated" in str(error).lower() else "corrupt"
            raise BadImage(name, f"{word} {image.format} ({error})") from None


def open_image(data: bytes, name: str = "the image") -> Image.Image:
    """Open an image with Pillow, its pixels not yet decoded.

    Raises:
        BadImage: none of the formats that Residua takes, a corrupt header, or above 100 million pixels.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=_TRIED)
    except UnidentifiedImageError:
        raise BadImage(name, f"not an image (it begins with {data[:8]!r})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage(name, "more than 100 million pixels") from None
    except Exception as error:
        raise BadImage(name, f"corrupt header ({error})") from None
    _refuse_giant(image.height, image.width, name)
    return image


def _refuse_giant(height: int, width: int, name: str) -> None:
    if height * width > MAX_PIXELS:
        megapixels = height * width / 1e6
        raise BadImage(name, f"{width} × {height} is {megapixels:.0f} million pixels; at most 100 million are decoded")
    if height * width == 0:
        raise BadImage(name, f"an image of {width} × {height} pixels")


def _to_rgb(image: Image.Image, name: str) -> Pixels:
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    if mode.startswith("I;16") or mode == "I":
        values = np.asarray(image).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise BadImage(name, "32-bit integer pixels outside 0..65535")
        return np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if mode == "F":
        raise BadImage(name, "floating-point pixels, whose range is not defined")
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, colours).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    try:
        value = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1
    return value if 1 <= value <= 8 else 1


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn (H, W, 3) as stored into (H, W, 3) as meant; EXIF 2.3, tag 0x0112."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
