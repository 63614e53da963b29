"""The evaluation transform as data: what happens to an image between the file and the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from residua._base.errors import InputError
from residua.specs.fields import MOST_PIXELS, Span, settle

# The ends keep every pixel finite in float32, bf16 included, and a resized image of 8192² takes 0.2 GB.
_MOST_RESIZED = 2 * MOST_PIXELS
Mean = Annotated[float, Span(-1000, 1000)]
Deviation = Annotated[float, Span(1e-6, 1000, hint="Use 1 to leave a channel's scale")]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
CropMode = Literal["center", "squash", "border"]


@dataclass(frozen=True)
class PreprocessSpec:
    """Resize, crop the centre, scale to [0, 1], subtract mean, divide by std.

    Attributes:
        image_size: side of the square that the network receives, pixels; 1 to 4096.
        resize: length of the resized side before the crop, pixels; at least `image_size`, at most 8192.
        interpolation: Pillow filter of the resize, antialiased, uint8 in and uint8 out.
        mean: per channel R, G, B, in units of [0, 1]; -1000 to 1000.
        std: per channel R, G, B, in units of [0, 1]; 0.000001 to 1000.
        crop_mode: what becomes `resize` long, in timm's words. "center": the shorter side, and the longer one in
            proportion. "squash": both sides. "border": the longer side, and what is missing is filled with the mean.
    """

    image_size: Annotated[int, Span(1, MOST_PIXELS)] = 224
    resize: Annotated[int, Span(1, _MOST_RESIZED)] = 256
    interpolation: Interpolation = "bilinear"
    mean: tuple[Mean, Mean, Mean] = IMAGENET_MEAN
    std: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD
    crop_mode: CropMode = "center"

    def __post_init__(self) -> None:
        settle(self)
        if self.resize < self.image_size:
            raise InputError(
                f"image_size={self.image_size}, resize={self.resize}",
                "image_size <= resize",
                f"Use resize={self.image_size} or more",
            )


def describe(preprocess: PreprocessSpec) -> str:
    """Return the transform in words: "shorter side to 256 (bilinear), centre crop 224, mean …, deviation …"."""
    side = {"center": "shorter side", "squash": "both sides", "border": "longer side"}[preprocess.crop_mode]
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (preprocess.mean, preprocess.std))
    border = ", borders of the mean" if preprocess.crop_mode == "border" else ""
    return (
        f"{side} to {preprocess.resize} ({preprocess.interpolation}), centre crop {preprocess.image_size}{border}, "
        f"mean {mean}, deviation {std}"
    )


def default_preprocess(image_size: int) -> PreprocessSpec:
    """Return the transform that a network of this input size is trained with.

    Images up to 64 pixels keep their whole area and CIFAR-10's statistics; larger ones get ImageNet's
    statistics and the customary crop of 7/8 (224 out of 256).
    """
    if image_size <= 64:
        return PreprocessSpec(image_size, image_size, mean=CIFAR_MEAN, std=CIFAR_STD)
    return PreprocessSpec(image_size, round(image_size * 256 / 224))


def resized(preprocess: PreprocessSpec, image_size: int) -> PreprocessSpec:
    """Return the transform for a different side, pixels; the crop keeps its share of the image."""
    share = preprocess.resize / preprocess.image_size
    return replace(preprocess, image_size=image_size, resize=max(image_size, round(image_size * share)))
