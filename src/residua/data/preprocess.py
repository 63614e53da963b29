"""The evaluation transform, executed: resize and crop on uint8, then normalise on the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image

from residua._base.errors import InputError
from residua.data.decode import Pixels
from residua.data.decode.budget import BUDGET
from residua.specs.pixel_array import PixelArray
from residua.specs.preprocess import Interpolation, PreprocessSpec, size_words

_FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}
STD_EPSILON = 1e-6
"""Added to a measured deviation before it divides, as Keras's ImageDataGenerator adds it."""
_LONGEST = 8
"""Longer side over shorter side up to which an image is resized as a whole."""
_CACHE_VALUES = 1 << 18
"""Values to normalise at a time: 1 MB of float32."""


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


def normalise(
    batch: torch.Tensor,
    spec: PreprocessSpec,
    *,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
) -> torch.Tensor:
    """Scale to [0, 1], subtract the mean, divide by the deviation: (B, 3, H, W) -> (B, 3, H, W) of `dtype`.

    What each image's own numbers decide comes before, and whitening after; see `PreprocessSpec`.

    Args:
        batch: uint8, or floating point in 0..255; the result stays on its device.
        channels_last: lay the result out channels-last; else contiguous.

    Raises:
        InputError: images of another size than the mean image, or the matrix that whitens, is for.
    """
    if spec.by_pixel and batch.shape[2:] != spec.size:
        raise InputError(
            f"images of {size_words((batch.shape[2], batch.shape[3]))} pixels with numbers for each pixel",
            f"{size_words(spec.size)} pixels, which {' and '.join(spec.arrays)} is for",
            "Give images of that size",
        )
    device = batch.device
    by_image = spec.image_center or spec.image_std
    white = 1 if by_image else 255
    scale = torch.tensor([1 / (white * deviation) for deviation in spec.std], device=device)
    offset = _offset(spec, device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    out = torch.empty(batch.shape, dtype=dtype, device=device, memory_format=layout)
    # On a processor a few images at a time, so that the passes over them stay in its cache.
    count = max(1, _CACHE_VALUES // max(batch[:1].numel(), 1)) if device.type == "cpu" else max(len(batch), 1)
    for source, target in zip(torch.split(batch, count), torch.split(out, count), strict=True):
        values = target if dtype == torch.float32 else torch.empty_like(target, dtype=torch.float32)
        if channels_last:
            # Whole lines of pixels: an inner loop over three channels takes four times as long.
            lines, width = values.permute(0, 2, 3, 1).flatten(2), source.shape[3]
            lines.copy_(source.permute(0, 2, 3, 1).flatten(2))
            if by_image:
                _by_own_numbers(lines, spec)
            lines.mul_(scale.repeat(width)).add_(offset.expand(-1, width, -1).flatten(1))
        else:
            values.copy_(source.contiguous())
            if by_image:
                _by_own_numbers(values, spec)
            values.mul_(scale.view(1, 3, 1, 1)).add_(offset.permute(2, 0, 1))
        if spec.whitening is not None:
            rows = values.permute(0, 2, 3, 1)
            rows.copy_((rows.flatten(1) @ _on_device(spec.whitening, device)).view(rows.shape))
        if values is not target:
            target.copy_(values)
    return out


def _offset(spec: PreprocessSpec, device: torch.device) -> torch.Tensor:
    """Return -mean / deviation: (H, W, 3) of a mean image, else (1, 1, 3)."""
    if spec.mean_image is None:
        return torch.tensor([[[-m / d for m, d in zip(spec.mean, spec.std, strict=True)]]], device=device)
    return _on_device(spec.mean_image, device) / -torch.tensor(spec.std, device=device)


def _by_own_numbers(levels: torch.Tensor, spec: PreprocessSpec) -> None:
    """Scale levels (B, …) to [0, 1], then centre and divide each image by its own numbers, in place."""
    levels.mul_(1 / 255)
    dims = tuple(range(1, levels.ndim))
    if spec.image_center:
        levels.sub_(levels.mean(dims, keepdim=True))
    if spec.image_std:
        levels.div_(levels.std(dims, correction=0, keepdim=True) + STD_EPSILON)


@lru_cache(4)
def _on_device(array: PixelArray, device: torch.device) -> torch.Tensor:
    """Return the numbers as a tensor; a matrix that whitens is too large to be copied for every batch."""
    return torch.from_numpy(np.array(array.view())).to(device)
