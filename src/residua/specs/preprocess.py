"""The evaluation transform as data: what happens to an image between the file and the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

from residua._base.errors import InputError, did_you_mean
from residua.specs.fields import MOST_PIXELS, Span, settle
from residua.specs.pixel_array import PixelArray
from residua.specs.ranges import with_ranges

# The ends keep every pixel finite in float32, bf16 included, and a resized image of 8192² takes 0.2 GB.
_MOST_RESIZED = 2 * MOST_PIXELS
Side = Annotated[int, Span(1, MOST_PIXELS)]
ResizedSide = Annotated[int, Span(1, _MOST_RESIZED)]
Mean = Annotated[float, Span(-1000, 1000)]
Deviation = Annotated[float, Span(1e-6, 1000, hint="Use 1 to leave a channel's scale")]

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in grey (ITU-R BT.601, as in Pillow's mode L and OpenCV's grey)."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
STD_EPSILON = 1e-6
"""Added to a measured deviation before it divides, as Keras's ImageDataGenerator adds it."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
CropMode = Literal["center", "squash", "border"]
# What a recipe measures for the transform; "customary" is what is here already.
Center = Literal["customary", "none", "channel", "pixel", "image"]
Std = Literal["customary", "none", "channel", "image"]

_LATER = ("mean_image", "image_center", "image_std", "whitening")


@with_ranges
@dataclass(frozen=True)
class PreprocessSpec:
    """Resize, crop the centre, scale to [0, 1], subtract mean, divide by std.

    Between the two, what an image's own numbers decide (`image_center`, `image_std`); last, `whitening`. The order is
    that of `standardize` of Keras's ImageDataGenerator.

    Attributes:
        image_size: side of the square that the network receives, pixels. Or a pair, (height, width), for
            oblong images; a pair of equal numbers becomes one number.
        resize: length of the resized side before the crop, pixels; at least `image_size`. A pair where
            `image_size` is one: both sides divided by the same share and rounded down, see `crop_share`.
        interpolation: Pillow filter of the resize, antialiased, uint8 in and uint8 out.
        mean: per channel R, G, B, in units of [0, 1].
        std: per channel R, G, B, in units of [0, 1].
        crop_mode: what becomes `resize` long, in timm's words. "center": the shorter side, and the longer one in
            proportion. "squash": both sides. "border": the longer side, and what is missing is filled with the mean.
            Of oblong images, "center" covers the rectangle `resize` and "border" fits into it, both in proportion.
        mean_image: of (*size, 3), in units of [0, 1]: subtracted pixel by pixel, and `mean` becomes its mean per
            channel, which fills borders and holes; None for `mean` everywhere.
        image_center: whether the mean of all numbers of an image is subtracted from it first.
        image_std: whether an image is then divided by the deviation of all its numbers plus 1e-6.
        whitening: of (n, n), n = height · width · 3: the row of all numbers of an image is multiplied by it. The row
            goes through the pixels line by line, with R, G, B of each. None for no whitening.
    """

    image_size: Side | tuple[Side, Side] = 224
    resize: ResizedSide | tuple[ResizedSide, ResizedSide] = 256
    interpolation: Interpolation = "bilinear"
    mean: tuple[Mean, Mean, Mean] = IMAGENET_MEAN
    std: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD
    crop_mode: CropMode = "center"
    mean_image: PixelArray | None = None
    image_center: bool = False
    image_std: bool = False
    whitening: PixelArray | None = None

    def __post_init__(self) -> None:
        settle(self)
        self._settle_sizes()
        self._settle_arrays()

    def _settle_sizes(self) -> None:
        pair = f"image_size={self.image_size}, resize={self.resize}"
        if isinstance(self.image_size, tuple) != isinstance(self.resize, tuple):
            raise InputError(pair, "a number for both, or a pair (height, width) for both", "Give one kind")
        if any(whole < side for whole, side in zip(self.resized_size, self.size, strict=True)):
            raise InputError(pair, "image_size <= resize", f"Use resize={self.image_size} or more")
        if (self.height, self.resized_size[0]) == (self.width, self.resized_size[1]):
            object.__setattr__(self, "image_size", self.height)
            object.__setattr__(self, "resize", self.resized_size[0])
        elif self.resized_size != self._resized_by(self.crop_share):
            raise InputError(pair, "the same share of both sides", f"Use resize={self._resized_by(self.crop_share)}")

    def _settle_arrays(self) -> None:
        numbers = self.height * self.width * 3
        shapes = {"mean_image": (*self.size, 3), "whitening": (numbers, numbers)}
        for name, array in self.arrays.items():
            if array.shape != shapes[name]:
                raise InputError(
                    f"{name} of shape {array.shape} for images of {size_words(self.size)} pixels",
                    f"numbers of shape {shapes[name]}",
                    f"Compute {name} on images of that size",
                )
        if self.mean_image is not None:
            mean = self.mean_image.channel_means()
            if max(map(abs, mean)) > 1000:
                raise InputError(
                    f"mean_image with the channel means {mean}", "means from -1,000 to 1,000", "Use units of [0, 1]"
                )
            object.__setattr__(self, "mean", mean)

    @property
    def arrays(self) -> dict[str, PixelArray]:
        """Return the fields that hold numbers for each pixel, by name, those alone that are there."""
        named = {"mean_image": self.mean_image, "whitening": self.whitening}
        return {name: array for name, array in named.items() if array is not None}

    @property
    def by_pixel(self) -> bool:
        """Return whether images of another size cannot be normalised: numbers for each pixel belong to it."""
        return bool(self.arrays)

    def to_json(self, *, whole: bool = False) -> dict[str, Any]:
        """Return the fields as JSON holds them: of arrays shape and hash, or with `whole` their numbers too.

        Fields that the first version lacks are left out where they keep their default.
        """
        plain: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name in _LATER and value == entry.default:
                continue
            plain[entry.name] = value.to_json(whole=whole) if isinstance(value, PixelArray) else value
        return plain

    @classmethod
    def from_json(cls, document: Mapping[str, Any], arrays: Mapping[str, bytes] | None = None) -> PreprocessSpec:
        """Undo `to_json`.

        Args:
            document: its fields.
            arrays: the bytes of arrays of which it holds shape and hash, by field.

        Raises:
            InputError: an unknown field, a value that a field refuses, or an array without its numbers.
        """
        known = {entry.name: entry for entry in fields(cls)}
        if unknown := [key for key in document if key not in known]:
            raise InputError(
                f"a preprocessing with the unknown fields {unknown}",
                f"fields of {', '.join(known)}",
                did_you_mean(unknown[0], known, 1) or "Leave them out; a newer Residua may have written them",
            )
        values = dict(document)
        for name in ("mean_image", "whitening"):
            if isinstance(values.get(name), Mapping):
                values[name] = PixelArray.from_json(values[name], (arrays or {}).get(name))
        return cls(**values)

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of what the network receives, pixels."""
        return self.image_size if isinstance(self.image_size, tuple) else (self.image_size, self.image_size)

    @property
    def height(self) -> int:
        """Return the height of what the network receives, pixels."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Return the width of what the network receives, pixels."""
        return self.size[1]

    @property
    def resized_size(self) -> tuple[int, int]:
        """Return `resize` as height and width, pixels."""
        return self.resize if isinstance(self.resize, tuple) else (self.resize, self.resize)

    @property
    def is_square(self) -> bool:
        """Return whether the network receives squares."""
        return not isinstance(self.image_size, tuple)

    @property
    def side(self) -> int:
        """Return the side of the square that the network receives, pixels.

        Raises:
            InputError: as `require_square`.
        """
        self.require_square()
        return self.height

    def require_square(self) -> None:
        """Refuse oblong images, for training.

        Raises:
            InputError: names their size.
        """
        if not self.is_square:
            raise InputError(
                f"training on images of {size_words(self.size)} pixels",
                "square images: networks with oblong ones are evaluated and used, but not trained",
                f"Use image_size={max(self.size)}",
            )

    @property
    def crop_share(self) -> float:
        """Return the share of the resized sides that is kept, timm's crop_pct: floor(side / share) is `resize`."""
        pairs = list(zip(self.size, self.resized_size, strict=True))
        share = min(side / whole for side, whole in pairs)
        while any(math.floor(side / share) < whole for side, whole in pairs):
            share = math.nextafter(share, 0.0)
        return share

    def _resized_by(self, share: float) -> tuple[int, int]:
        return math.floor(self.height / share), math.floor(self.width / share)


def size_words(size: tuple[int, int]) -> str:
    """Return "64 × 128": height × width."""
    return f"{size[0]} × {size[1]}"


def describe(preprocess: PreprocessSpec) -> str:
    """Return the transform in words: "shorter side to 256 (bilinear), centre crop 224, mean …, deviation …"."""
    if preprocess.is_square:
        side = {"center": "shorter side", "squash": "both sides", "border": "longer side"}[preprocess.crop_mode]
        resize, crop = f"{side} to {preprocess.resize}", f"{preprocess.image_size}"
    else:
        how = {"center": "to cover", "squash": "to exactly", "border": "to fit into"}[preprocess.crop_mode]
        resize, crop = f"resized {how} {size_words(preprocess.resized_size)}", size_words(preprocess.size)
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (preprocess.mean, preprocess.std))
    border = ", borders of the mean" if preprocess.crop_mode == "border" else ""
    if preprocess.mean_image is not None:
        mean = f"of each pixel (SHA-256 {preprocess.mean_image.sha256[:12]}…; per channel {mean})"
    own = {"image_center": ", each image less its own mean", "image_std": ", each image by its own deviation"}
    others = "".join(words for name, words in own.items() if getattr(preprocess, name))
    others += "" if preprocess.whitening is None else f", whitened (SHA-256 {preprocess.whitening.sha256[:12]}…)"
    return f"{resize} ({preprocess.interpolation}), centre crop {crop}{border}, mean {mean}, deviation {std}{others}"


def is_thumbnail(image_size: int) -> bool:
    """Return whether images of this side, pixels, are prepared as CIFAR's of 32 and Tiny ImageNet's of 64 are."""
    return image_size <= 64


def default_preprocess(image_size: int) -> PreprocessSpec:
    """Return the transform that a network of this input size is trained with.

    Images up to 64 pixels keep their whole area and CIFAR-10's statistics; larger ones get ImageNet's
    statistics and the customary crop of 7/8 (224 out of 256).
    """
    if is_thumbnail(image_size):
        return PreprocessSpec(image_size, image_size, mean=CIFAR_MEAN, std=CIFAR_STD)
    return PreprocessSpec(image_size, round(image_size * 256 / 224))


def resized(preprocess: PreprocessSpec, image_size: int) -> PreprocessSpec:
    """Return the transform for squares of a different side, pixels; the crop keeps its share of the image.

    A mean image, which belongs to one size, gives way to its mean per channel.

    Raises:
        InputError: a whitened network at another size than its own.
    """
    share = preprocess.resized_size[0] / preprocess.height
    mean_image = preprocess.mean_image
    if preprocess.size != (image_size, image_size):
        if preprocess.whitening is not None:
            raise InputError(
                f"image_size={image_size} for weights of whitened images of {size_words(preprocess.size)} pixels",
                "the size that the images were whitened at",
                f"Use image_size={preprocess.height}",
            )
        mean_image = None
    resize = max(image_size, round(image_size * share))
    return replace(preprocess, image_size=image_size, resize=resize, mean_image=mean_image)
