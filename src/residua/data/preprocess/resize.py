"""Resize and crop on uint8, the first half of the evaluation transform; without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from residua.data.decode import Pixels
from residua.data.decode.budget import BUDGET
from residua.specs.preprocess import Interpolation, PreprocessSpec

_FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}
_LONGEST = 8
"""Longer side over shorter side up to which an image is resized as a whole."""


def read_uint8(read: Callable[[], Pixels], spec: PreprocessSpec) -> Pixels:
    """Return what `read` decodes, resized and cropped by `spec`: uint8 (H, W, 3) of its `size`.

    The decoded image counts as memory in flight until it is resized.

    Raises:
        BadImage: as `read`.
    """
    with BUDGET.kept():
        return apply_uint8(read(), spec)


def apply_uint8(image: Pixels, spec: PreprocessSpec) -> Pixels:
    """Resize as `spec.crop_mode` states and crop the centre: uint8 (H, W, 3) -> uint8 (*spec.size, 3).

    An image that has the final size already comes back as it is. Otherwise sizes and offsets are rounded as
    torchvision's `Resize` and `CenterCrop` round them: the longer side down, half offsets to even. For "border" they
    are rounded as by timm's `ResizeKeepRatio` and `CenterCropOrPad`: both sides to the nearest. The size of oblong
    images is rounded as timm rounds it in every mode.
    """
    if image.shape[:2] == spec.size == spec.resized_size:
        return image
    return _crops(image, spec, lambda tall, wide: ((_middle(tall), _middle(wide)),))[0]


def ten_crops_uint8(image: Pixels, spec: PreprocessSpec) -> Pixels:
    """Resize once and cut what ten crops are made of: uint8 (H, W, 3) -> uint8 (6, *spec.size, 3).

    The first five are the corners (top left, top right, bottom left, bottom right) and the centre. The mirrored five
    are the corners and the last one, mirrored. In a mirrored image of odd excess, torchvision's `TenCrop` rounds the
    centre to the other side.
    """

    def places(tall: int, wide: int) -> tuple[tuple[int, int], ...]:
        middle = _middle(tall)
        corners = ((0, 0), (0, wide), (tall, 0), (tall, wide))
        return (*corners, (middle, _middle(wide)), (middle, wide - _middle(wide)))

    return np.stack(_crops(image, spec, places))


def resized_uint8(image: Pixels, shorter: int, interpolation: Interpolation) -> Pixels:
    """Resize the shorter side to `shorter` pixels, the longer in proportion (rounded down): uint8 (H, W, 3).

    Of an image more than 8 times as long as it is wide, only the middle is kept: 8 times as long.
    """
    height, width = image.shape[:2]
    most = _LONGEST * min(height, width)
    if max(height, width) > most:
        top, left = (max(0, size - most) // 2 for size in (height, width))
        image = image[top : top + most, left : left + most]
    size = _resized(image.shape[0], image.shape[1], shorter)
    if size == image.shape[:2]:
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize(size[::-1], _FILTERS[interpolation]))


def _middle(excess: int) -> int:
    return round(excess / 2)


def _resized(height: int, width: int, shorter: int) -> tuple[int, int]:
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def _crops(
    image: Pixels, spec: PreprocessSpec, places: Callable[[int, int], Sequence[tuple[int, int]]]
) -> list[Pixels]:
    """Resize once and cut a rectangle at each of `places`, a function of how far one can move down and right."""
    tall, wide = spec.size

    def cut(whole: Pixels) -> list[Pixels]:
        corners = places(whole.shape[0] - tall, whole.shape[1] - wide)
        return [whole[top : top + tall, left : left + wide] for top, left in corners]

    if spec.crop_mode == "squash":
        return cut(_squashed(image, spec))
    if spec.crop_mode == "border":
        return cut(_bordered(image, spec))
    height, width = image.shape[:2]
    new_height, new_width = _covering(height, width, spec)
    if (new_height, new_width) == (height, width):
        return cut(image)
    picture = Image.fromarray(np.ascontiguousarray(image))
    method = _FILTERS[spec.interpolation]
    if new_height * new_width <= _LONGEST * math.prod(spec.resized_size):
        return cut(np.asarray(picture.resize((new_width, new_height), method)))
    # A panorama of 1 × 100,000 pixels must not be enlarged as a whole: only the crops are computed. (Not always, since
    # Pillow keeps the box in single precision, and a value now and then would differ from torchvision's.)
    y, x = height / new_height, width / new_width
    corners = places(new_height - tall, new_width - wide)
    boxes = [(left * x, top * y, min((left + wide) * x, width), min((top + tall) * y, height)) for top, left in corners]
    return [np.asarray(picture.resize((wide, tall), method, box=box)) for box in boxes]


def _covering(height: int, width: int, spec: PreprocessSpec) -> tuple[int, int]:
    """Return the size of an image, in proportion, that covers `spec.resize`."""
    if not isinstance(spec.resize, tuple):
        return _resized(height, width, spec.resize)
    ratio = min(height / spec.resize[0], width / spec.resize[1])
    return round(height / ratio), round(width / ratio)


def _squashed(image: Pixels, spec: PreprocessSpec) -> Pixels:
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize(spec.resized_size[::-1], _FILTERS[spec.interpolation]))


def _bordered(image: Pixels, spec: PreprocessSpec) -> Pixels:
    """Resize, in proportion, to fit into `spec.resize`, and fill up with the mean what is smaller than the crop."""
    ratio = max(image.shape[0] / spec.resized_size[0], image.shape[1] / spec.resized_size[1])
    height, width = (max(1, round(size / ratio)) for size in image.shape[:2])
    picture = Image.fromarray(np.ascontiguousarray(image))
    small = np.asarray(picture.resize((width, height), _FILTERS[spec.interpolation]))
    tall, wide = max(0, spec.height - height), max(0, spec.width - width)
    whole = np.empty((height + tall, width + wide, 3), np.uint8)
    whole[:] = [min(255, max(0, round(255 * value))) for value in spec.mean]
    whole[tall // 2 : tall // 2 + height, wide // 2 : wide // 2 + width] = small
    return whole
