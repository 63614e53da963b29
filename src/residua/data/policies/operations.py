"""The operations of the policies, each on one Pillow image.

They are those of AutoAugment (Cubuk 2018) as the published codes and torchvision define them, on Pillow's functions.
Geometry reads between pixels as the policy states; what comes from beyond the edges is black.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageOps

Operation = Callable[[Image.Image, float, Image.Resampling], Image.Image]


def _affine(image: Image.Image, matrix: tuple[float, ...], resample: Image.Resampling) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=resample)


OPERATIONS: dict[str, Operation] = {
    "identity": lambda image, size, resample: image,
    "shear_x": lambda image, size, resample: _affine(image, (1, size, 0, 0, 1, 0), resample),
    "shear_y": lambda image, size, resample: _affine(image, (1, 0, 0, size, 1, 0), resample),
    "translate_x": lambda image, size, resample: _affine(image, (1, 0, -int(size), 0, 1, 0), resample),
    "translate_y": lambda image, size, resample: _affine(image, (1, 0, 0, 0, 1, -int(size)), resample),
    "rotate": lambda image, size, resample: image.rotate(size, resample=resample),
    "brightness": lambda image, size, resample: ImageEnhance.Brightness(image).enhance(1 + size),
    "color": lambda image, size, resample: ImageEnhance.Color(image).enhance(1 + size),
    "contrast": lambda image, size, resample: ImageEnhance.Contrast(image).enhance(1 + size),
    "sharpness": lambda image, size, resample: ImageEnhance.Sharpness(image).enhance(1 + size),
    "posterize": lambda image, size, resample: ImageOps.posterize(image, int(size)),
    "solarize": lambda image, size, resample: ImageOps.solarize(image, size),  # type: ignore[arg-type]
    "autocontrast": lambda image, size, resample: ImageOps.autocontrast(image),
    "equalize": lambda image, size, resample: ImageOps.equalize(image),
}
"""(image, size of the change, how to read between pixels) -> image.

Sizes are fractions of the side (shear), pixels (translate), degrees (rotate), 0 for no change (the four enhancements),
bits that are kept (posterize), or the level from which on levels are inverted (solarize).
"""
