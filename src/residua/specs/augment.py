"""Augmentation as data. Executed by `residua.data.augment`, batched and on the device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from residua._base.errors import InputError
from residua.specs.fields import settle

SMALL_IMAGE = 64  # pixels; up to this side an image shows one centred object, beyond it a scene


@dataclass(frozen=True)
class AugmentSpec:
    """What is done at random to a training image. The default does nothing.

    Attributes:
        crop: "none" (the evaluation crop), "pad" (pad by `pad` pixels of zeros, crop back at random; He 2015,
            section 4.2), "random_resized" (area and aspect at random; Szegedy 2015), or "auto": "pad" for
            images up to 64 pixels, whose objects fill the frame, "random_resized" for larger ones; `resolve`
            settles it before any image is read.
        pad: pixels on each side for `crop="pad"`.
        scale: range of the area of a random resized crop, fraction of the image's.
        ratio: range of its aspect ratio, width / height.
        shift: largest translation, fraction of the side, edges repeated (the Keras CIFAR-10 example: 0.1).
        flip: mirror left and right with probability 1/2.
        cutout: side of a square set to the mean, pixels; 0 for none (DeVries 2017).
        color_jitter: strength of brightness, contrast and saturation changes: factors from 1 - x to 1 + x.
        mixup: alpha of the Beta distribution of the mixing weight; 0 for none (Zhang 2018).
        cutmix: alpha of the Beta distribution of the pasted area; 0 for none (Yun 2019).
    """

    crop: Literal["auto", "none", "pad", "random_resized"] = "none"
    pad: int = 4
    scale: tuple[float, float] = (0.25, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    shift: float = 0.0
    flip: bool = False
    cutout: int = 0
    color_jitter: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        settle(self)
        for name in ("pad", "shift", "cutout", "color_jitter", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}={getattr(self, name)}", f"{name} >= 0", f"Use {name}=0 to switch it off")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise InputError(
                f"scale={self.scale}", "0 < low <= high <= 1, fractions of the image's area", "Try 0.25, 1"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise InputError(f"ratio={self.ratio}", "0 < low <= high, width / height", "Try 0.75, 1.33")
        if self.shift >= 1 or self.color_jitter > 1:
            raise InputError(
                f"shift={self.shift}, color_jitter={self.color_jitter}",
                "shift < 1 and color_jitter <= 1",
                "Customary are shift=0.1 and color_jitter=0.4",
            )
        if self.mixup and self.cutmix:
            raise InputError("both mixup and cutmix", "one of them", "Set the other to 0")

    def resolve(self, image_size: int) -> AugmentSpec:
        """Return the same specification with crop="auto" settled for images of this side, pixels."""
        if self.crop != "auto":
            return self
        return replace(self, crop="pad" if image_size <= SMALL_IMAGE else "random_resized")
