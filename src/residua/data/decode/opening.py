"""Open an image with Pillow: the header is read and checked, the pixels are not yet decoded."""

from __future__ import annotations

import io

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from residua.data.decode.bad_image import BadImage, check_size
from residua.data.decode.depth import SIGNIFICANT_BITS
from residua.data.decode.formats import check_known, opener
from residua.data.decode.png import essential

_DNG_VERSION, _SUB_IFDS, _REDUCED = 50706, 330, 1


def open_image(data: bytes, name: str = "the image") -> Image.Image:
    """Open an image with Pillow, its pixels not yet decoded.

    Raises:
        BadImage: a format that is not read, a corrupt header, or above 100 million pixels.
    """
    form = check_known(data, name)
    factory = opener(form, name)
    png = essential(data, name) if form == "PNG" else None
    try:
        image = factory(io.BytesIO(png.data if png else data), "")
    except Exception as error:  # Plugins raise what they like: it is this file's fault whatever it is.
        raise BadImage(name, _refusal(form, data, error)) from None
    try:
        check_size(*stored_size(image), name)
        if form == "TIFF":
            _refuse_unreadable(image, name)
    except BadImage:
        image.close()
        raise
    if png is not None:
        image.info[SIGNIFICANT_BITS] = png.significant_bits
        if png.key is not None:
            image.info["transparency"] = png.key
    elif form == "TGA":
        image.info["attribute bits"] = data[17] & 15
    return image


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) before any turning; Pillow gives the size of a TIFF as it will be after it."""
    tags = getattr(image, "tag_v2", {})
    try:
        return int(tags[257]), int(tags[256])
    except (KeyError, TypeError, ValueError):
        return image.height, image.width


def _refuse_unreadable(image: Image.Image, name: str) -> None:
    """Refuse TIFFs of which Pillow would give something else: a raw photo's small preview, planes of 16 bits."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(284) == 2 and tags.get(259, 1) == 1 and max(tags.get(258, (1,))) > 8:
        raise BadImage(name, "an uncompressed TIFF of planes of 16 bits, which is not read")
    if _DNG_VERSION in tags or (tags.get(254, 0) == _REDUCED and _SUB_IFDS in tags):
        raise BadImage(name, "a camera's raw photo, which is not read", "Convert it to JPEG or TIFF, or remove it")


def _refusal(form: str, data: bytes, error: Exception) -> str:
    if form == "TIFF" and "mode" in str(error):
        try:
            return f"a TIFF of {_samples(data)}, which is not read"
        except Exception:  # The tags are as damaged as the rest.
            return f"corrupt header of a TIFF ({error})"
    return f"corrupt header of a {form} ({error or type(error).__name__})"


def _samples(data: bytes) -> str:
    stream = io.BytesIO(data)
    header = stream.read(16 if data[2] == 43 or data[3] == 43 else 8)
    tags = ImageFileDirectory_v2(header)
    stream.seek(tags.next)
    tags.load(stream)
    bits = tags.get(258, (1,))
    kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(tags.get(339, (1,))[0], "unknown")
    meaning = {0: "grey, white is zero", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "LAB"}
    photometric = tags.get(262, -1)
    order = "big" if data[:1] == b"M" else "little"
    return (
        f"{len(bits)} × {bits[0]} bits, {kind}, {meaning.get(photometric, f'photometric {photometric}')}, "
        f"{order}-endian, compression {tags.get(259, 1)}"
    )
