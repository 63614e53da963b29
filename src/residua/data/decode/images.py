"""Decode any image, within the memory that all decoding threads share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from residua.data.decode.bad_image import BadImage, Pixels, check_size
from residua.data.decode.beyond.deep_colour import EXTRA_BYTES, is_deep
from residua.data.decode.budget import BUDGET, FREE_BYTES
from residua.data.decode.colours import rgb_of
from residua.data.decode.files import read
from residua.data.decode.jpeg import JpegHeader, OtherSampling, count_scans, decode_jpeg, read_header, scale_of
from residua.data.decode.opening import fault, open_image, stored_size
from residua.data.decode.orientation import orientation_left, upright
from residua.data.decode.pnm import decode_pnm, pnm_header

_JPEG_START, _PNM_START = b"\xff\xd8", b"P"
_MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_DECODER_BYTES = {"WEBP": 12, "AVIF": 8, "HEIF": 8, "JXL": 8, "JPEG2000": 12}
"""Bytes per pixel beside Pillow's own, measured at 100 million pixels: libwebp's animation decoder, which Pillow uses
for still images too, holds two canvases of four bytes, and Pillow a copy. A test compares them with what is taken."""
_SMALL_BYTES = 64 << 20  # of an image: running out of memory is then no fault of its size, docs/decisions/0142


def decode(source: bytes | Path, *, min_side: int | None = None) -> Pixels:
    """Decode an image to uint8 (H, W, 3), RGB.

    Args:
        source: the encoded bytes, or the path of a file.
        min_side: allow a JPEG to be decoded at a reduced scale whose shorter side is still at least this,
            pixels. Faster, and slightly different pixels: for the training stream only.

    Raises:
        BadImage: unreadable, empty, truncated, corrupt, of an unknown format, above 100 million pixels, or of so many
            that its decoder would take more than the budget; read from the header, before memory is allocated.
        MemoryError: the process has not even the memory for a small image.
    """
    data, name = read(source)
    return decode_bytes(data, name, (min_side or 0, min_side or 0))


def decode_bytes(data: bytes, name: str = "the image", min_size: tuple[int, int] = (0, 0)) -> Pixels:
    """Decode `data`, a JPEG at the least scale that keeps `min_size`, (height, width); (0, 0): full."""
    if data[:2] == _JPEG_START:
        header = read_header(data, name)
        if header.components != 4:
            return _decode_jpeg(data, name, header, _jpeg_orientation(data, name, header), min_size)
    if data[:1] == _PNM_START and (pnm := pnm_header(data, name)):
        return _within_budget(pnm.memory, name, lambda: decode_pnm(data, pnm, name))
    return _decode_other(data, name)


class EncodedImage:
    """An encoded image whose size is known before it is decoded; of a JPEG the header is read once.

    Args:
        data: the bytes of its file.
        name: what to call it in an error.

    Attributes:
        size: (height, width) in pixels, upright.
        orientation: of EXIF, 1 (upright) to 8.

    Raises:
        BadImage: no image header, an unknown format, or above 100 million pixels.
    """

    def __init__(self, data: bytes, name: str = "the image") -> None:
        self._data, self._name, self._header = data, name, None
        if data[:2] == _JPEG_START:
            self._header = header = read_header(data, name)
            stored, self.orientation = (header.height, header.width), _jpeg_orientation(data, name, header)
        else:
            with open_image(data, name) as image:
                stored, self.orientation = stored_size(image), orientation_left(image)
        self.size = stored if self.orientation < 5 else stored[::-1]

    def decode(self, min_size: tuple[int, int] = (0, 0)) -> Pixels:
        """Decode as `decode_bytes` does."""
        if self._header is None or self._header.components == 4:
            return decode_bytes(self._data, self._name, min_size)
        return _decode_jpeg(self._data, self._name, self._header, self.orientation, min_size)


def decode_opened(image: Image.Image) -> Pixels:
    """Return an image that Pillow has opened or made, as `decode` returns its file; loads its pixels.

    Raises:
        BadImage: pixels that cannot be loaded, or whose range is not defined.
    """
    name = str(getattr(image, "filename", "")) or "the image"
    check_size(image.height, image.width, name)
    return _decode_image(image, image.format or f"image of mode {image.mode}", name)


def size_of(data: bytes, name: str = "the image") -> tuple[int, int]:
    """Return (height, width) in pixels as stored, before any rotation, from the header alone.

    Raises:
        BadImage: no image header, or above 100 million pixels.
    """
    if data[:2] == _JPEG_START:
        header = read_header(data, name)
        return header.height, header.width
    with open_image(data, name) as image:
        return stored_size(image)


def _jpeg_orientation(data: bytes, name: str, header: JpegHeader) -> int:
    if not header.metadata:
        return 1
    try:
        with open_image(data, name) as image:
            return orientation_left(image)
    except BadImage:  # Of what Pillow cannot open, libjpeg-turbo alone decides whether it is damaged.
        return 1


def _decode_jpeg(data: bytes, name: str, header: JpegHeader, orientation: int, min_size: tuple[int, int]) -> Pixels:
    height, width = min_size if orientation < 5 else min_size[::-1]
    count = header.height * header.width
    cost = 3 * count
    if cost >= FREE_BYTES:
        cost = int(cost * scale_of(header, height, width) ** 2) * (1 if orientation == 1 else 2)
        # Coefficients of two bytes are kept until the last scan.
        cost += 2 * header.components * count if count_scans(data, header) > 1 else 0
        if cost > BUDGET.limit:
            raise _too_large(count, -(-cost // count), "JPEG in several scans", name)

    def decoded() -> Pixels:
        return upright(decode_jpeg(data, name, height, width), orientation)

    try:
        return _within_budget(cost, name, decoded)
    except OtherSampling:
        return _decode_other(data, name)


def _decode_other(data: bytes, name: str) -> Pixels:
    with open_image(data, name) as image:
        return _decode_image(image, image.format or "", name)


def _decode_image(image: Image.Image, form: str, name: str) -> Pixels:
    def decoded() -> Pixels:
        try:
            return rgb_of(image, name)
        except (BadImage, MemoryError):
            raise
        except Exception as error:  # Decoders raise what they like: it is this file's fault whatever it is.
            raise BadImage(name, fault(error, form)) from None

    held = _MODE_BYTES.get(image.mode, 4) + _DECODER_BYTES.get(form, 0) + (EXTRA_BYTES if is_deep(image) else 0)
    # A JPEG of four components or rare sampling: coefficients of two bytes are kept until the last scan.
    held += 2 * len(image.getbands()) if image.info.get("progressive") else 0
    # A turned image is a second one.
    held += 3 if orientation_left(image) != 1 else 0
    count, each = image.height * image.width, held + 3
    if each * count > BUDGET.limit:
        raise _too_large(count, each, form, name)
    return _within_budget(each * count, name, decoded)


def _too_large(count: int, each: int, form: str, name: str) -> BadImage:
    """Return the refusal of an image whose decoder takes `each` bytes per pixel, more than all may take together."""
    most = BUDGET.limit // each // 100_000 / 10
    return BadImage(
        name,
        f"{count / 1e6:.1f} million pixels, which take {each * count >> 20:,} MiB to decode from this {form}; at most "
        f"{most:g} million are decoded from one",
        "Save it as a baseline JPEG, as a PNG, or with fewer pixels",
    )


def _within_budget(size: int, name: str, decoded: Callable[[], Pixels]) -> Pixels:
    """Decode while `size` bytes are counted; blame the image for running out of memory where it asks for much."""
    try:
        if size < FREE_BYTES:
            return decoded()
        with BUDGET.lease(size):
            return decoded()
    except MemoryError:
        if size < _SMALL_BYTES and not _to_be_had(size):
            raise
        raise BadImage(name, f"needs more memory than is available ({size >> 20} MiB by its size)") from None


def _to_be_had(size: int) -> bool:
    try:
        bytearray(size)
    except MemoryError:
        return False
    return True
