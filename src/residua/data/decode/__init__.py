"""From an encoded image to RGB uint8: one way, for training and for prediction.

Conversions, of every format alike:

- Grey is repeated over the three channels; palettes are looked up; CMYK follows Pillow; LAB goes through sRGB.
- More than 8 bits per sample keep their upper 8 of those that the file declares: `residua.data.decode.depth`.
- Transparency is laid over white; a fourth byte that a BMP or TGA leaves unused is none.
- The EXIF orientation is applied. Of an animation, the first frame counts.
"""

from residua.data.decode.bad_image import MAX_PIXELS, BadImage, FetchFailure, Pixels
from residua.data.decode.files import MAX_FILE_BYTES, read
from residua.data.decode.formats import FORMATS, VERSION
from residua.data.decode.images import EncodedImage, decode, decode_bytes, decode_opened, size_of
from residua.data.decode.opening import open_image
from residua.data.decode.orientation import upright

__all__ = [
    "FORMATS",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "VERSION",
    "BadImage",
    "EncodedImage",
    "FetchFailure",
    "Pixels",
    "decode",
    "decode_bytes",
    "decode_opened",
    "open_image",
    "read",
    "size_of",
    "upright",
]
