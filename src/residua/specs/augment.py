"""Augmentation as data. Executed by `residua.data.augment`, batched and on the device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from residua._base.errors import InputError
from residua.specs.fields import MOST_PIXELS, Span, settle
from residua.specs.ranges import with_ranges

_OFF = "Use 0 to switch it off"
Pixels = Annotated[int, Span(0, MOST_PIXELS, hint=_OFF)]
# A crop of less than 1e-4 of the area has no pixel; draws of Beta(alpha) are exact within these ends.
Area = Annotated[float, Span(1e-4, 1, hint="Try scale=0.25, 1: fractions of the image's area")]
Aspect = Annotated[float, Span(0.01, 100, hint="Try ratio=0.75, 1.33: width / height")]
Alpha = Annotated[float, Span(1e-3, 1e3, off=True)]
Fraction = Annotated[float, Span(0, 1, below=True, hint=_OFF)]
Factor = Annotated[float, Span(0.01, 100, hint="Use 1, 1 to switch it off")]

MOST_OPERATIONS = 8
"""Operations that RandAugment applies to an image at most; the paper tries 1 to 3."""

SMALL_IMAGE = 64  # pixels; up to this side an image shows one centred object, beyond it a scene


@with_ranges
@dataclass(frozen=True)
class AugmentSpec:
    """What is done at random to a training image. The default does nothing.

    The effects of Keras's ImageDataGenerator are among them, each equal to Keras's own; `docs/guide.md` lists them
    under its names.

    Attributes:
        crop: "none" (the evaluation crop), "pad" (pad by `pad` pixels of zeros, crop back at random; He 2015,
            section 4.2), "random_resized" (area and aspect at random; Szegedy 2015), or "auto": "pad" for networks of
            small images up to 64 pixels, whose objects fill the frame, "random_resized" elsewhere; `resolve` settles
            it before any image is read.
        pad: pixels on each side for `crop="pad"`.
        scale: range of the area of a random resized crop, as a fraction of the image's.
        ratio: range of its aspect ratio, width / height.
        shift: largest translation, fraction of the side (the Keras CIFAR-10 example: 0.1).
        height_shift: the same of rows alone, where it is not `shift`; 0 for `shift`.
        width_shift: the same of columns alone, where it is not `shift`; 0 for `shift`.
        subpixel: shift by fractions of a pixel, bilinear, as Keras does; else by whole pixels.
        rotation: largest angle, degrees, bilinear.
        shear: largest angle of the shear, degrees, bilinear.
        zoom: range of the factor between pixels of the result, one for rows and one for columns: above 1 shows more of
            the image, bilinear.
        fill: what stands beyond the edges of an image that was moved. "nearest": the edge repeated. "constant":
            `fill_value`. "reflect": the image mirrored. "wrap": the image again, its last line on its first.
        fill_value: level of `fill="constant"`.
        channel_shift: largest number of levels added to all channels, clipped to the image's own range.
        flip: mirror left and right with probability 1/2.
        alternate_flip: of `flip`, draw once for each image, and mirror it in every other epoch. Two epochs in a row
            then show both sides (Jordan 2024, arXiv 2404.00498, section 3.6).
        vertical_flip: mirror top and bottom with probability 1/2.
        brightness: range of the factor of all levels, rounded down to whole levels.
        cutout: side of a square set to the mean, pixels; 0 for none (DeVries 2017).
        color_jitter: strength of brightness, contrast and saturation changes: factors from 1 - x to 1 + x.
        mixup: alpha of the Beta distribution of the mixing weight; 0 for none (Zhang 2018).
        cutmix: alpha of the Beta distribution of the pasted area; 0 for none (Yun 2019).
        randaugment: operations applied to each image in turn, drawn among 14 (Cubuk 2019; customary: 2); 0 for none.
        randaugment_magnitude: of `randaugment`, 0 to 30.
        trivialaugment: one operation of a random magnitude per image (Müller & Hutter 2021, wide).
        augmix: severity of AugMix (Hendrycks 2020; the paper: 3), which mixes each image with three chains of
            operations, without the Jensen-Shannon loss; 0 for none.
    """

    crop: Literal["auto", "none", "pad", "random_resized"] = "none"
    pad: Pixels = 4
    scale: tuple[Area, Area] = (0.25, 1.0)
    ratio: tuple[Aspect, Aspect] = (3 / 4, 4 / 3)
    shift: Fraction = 0.0
    height_shift: Fraction = 0.0
    width_shift: Fraction = 0.0
    subpixel: bool = False
    rotation: Annotated[float, Span(0, 180, hint=_OFF)] = 0.0
    shear: Annotated[float, Span(0, 89, hint=_OFF)] = 0.0
    zoom: tuple[Factor, Factor] = (1.0, 1.0)
    fill: Literal["nearest", "constant", "reflect", "wrap"] = "nearest"
    fill_value: Annotated[float, Span(0, 255)] = 0.0
    channel_shift: Annotated[float, Span(0, 255, hint=_OFF)] = 0.0
    flip: bool = False
    alternate_flip: bool = False
    vertical_flip: bool = False
    brightness: tuple[Factor, Factor] = (1.0, 1.0)
    cutout: Pixels = 0
    color_jitter: Annotated[float, Span(0, 1, hint=_OFF)] = 0.0
    mixup: Alpha = 0.0
    cutmix: Alpha = 0.0
    randaugment: Annotated[int, Span(0, MOST_OPERATIONS, hint=_OFF)] = 0
    randaugment_magnitude: Annotated[int, Span(0, 30)] = 9
    trivialaugment: bool = False
    augmix: Annotated[int, Span(0, 10, hint=_OFF)] = 0

    def __post_init__(self) -> None:
        settle(self)
        for name in ("scale", "ratio", "zoom", "brightness"):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(
                    f"{name}=({low:g}, {high:g})", "the lower end first", f"Use {name}=({high:g}, {low:g})"
                )
        if self.mixup and self.cutmix:
            raise InputError("both mixup and cutmix", "one of them", "Set the other to 0")
        if not self.randaugment and self.randaugment_magnitude != type(self).randaugment_magnitude:
            raise InputError(
                f"randaugment_magnitude={self.randaugment_magnitude} without randaugment",
                "both",
                "Give randaugment=2 too",
            )
        if self.alternate_flip and not self.flip:
            raise InputError("alternate_flip=True with flip=False", "both", "Give flip=True too")
        policies = [name for name in ("randaugment", "trivialaugment", "augmix") if getattr(self, name)]
        if len(policies) > 1:
            raise InputError(" and ".join(policies), "one of them", "Switch the others off")

    @property
    def shifts(self) -> tuple[float, float]:
        """Return the largest translations of rows and of columns, fractions of height and width."""
        return self.height_shift or self.shift, self.width_shift or self.shift

    @property
    def has_policy(self) -> bool:
        """Return whether images pass through RandAugment, TrivialAugment or AugMix."""
        return bool(self.randaugment or self.trivialaugment or self.augmix)

    @property
    def warps(self) -> bool:
        """Return whether pixels are interpolated between: more is done than whole pixels moved, edges repeated."""
        turned = self.rotation > 0 or self.shear > 0 or self.zoom != (1.0, 1.0)
        return turned or (max(self.shifts) > 0 and (self.subpixel or self.fill != "nearest"))

    def resolve(self, image_size: int, *, photos: bool = False) -> AugmentSpec:
        """Return the same specification with crop="auto" settled.

        Args:
            image_size: side of the network's input, pixels.
            photos: whether the network is one for photos, whatever the size that it is given.
        """
        if self.crop != "auto":
            return self
        return replace(self, crop="pad" if image_size <= SMALL_IMAGE and not photos else "random_resized")
