"""What a user states of the preprocessing of a file of weights, and which parts of it were not stated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from residua._base.errors import InputError
from residua._base.words import some
from residua.specs.preprocess import PreprocessSpec, describe, resized, size_words
from residua.weights.preprocess.pixel_mean import pixel_mean

_WORDS = {
    "mean": "mean",
    "std": "deviation",
    "interpolation": "filter of the resize",
    "crop": "share of the resized side",
    "image_size": "side",
}
_DARKEST = 1 / 255  # of white: a mean below one level is one of another unit, not of images


@dataclass(frozen=True)
class StatedPreprocess:
    """What a user states of the evaluation transform; None leaves a part to be assumed.

    A network sees (level · scale / 255 - mean) / std, where levels are the 0 to 255 of an image's channels.

    Attributes:
        image_size: side of the network's input, pixels.
        mean: one number, or three for R, G and B, in units of `scale`.
        std: one number, or three for R, G and B, in units of `scale`.
        scale: what white is before mean and std: 1, or 255 for a network that takes levels. Where it is given, a mean
            that is not given is 0, and a std that is not given is 1.
        interpolation: filter of the resize, as in `PreprocessSpec`.
        crop: share of the resized side that is kept, above 0 and at most 1; timm's crop_pct.
        mean_image: the mean of each pixel in units of `scale`, in place of `mean`; see `pixel_mean`.
    """

    image_size: int | None = None
    mean: Sequence[float] | float | None = None
    std: Sequence[float] | float | None = None
    scale: float | None = None
    interpolation: str | None = None
    crop: float | None = None
    mean_image: Path | str | npt.ArrayLike | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is stated."""
        return all(getattr(self, entry.name) is None for entry in dataclasses.fields(self))

    def applied(self, assumed: PreprocessSpec) -> PreprocessSpec:
        """Return the transform that was stated, its other parts as in `assumed`.

        Raises:
            InputError: a number that is out of range.
        """
        changes: dict[str, Any] = {}
        if self.mean is not None and self.mean_image is not None:
            raise InputError(
                "both mean and mean_image", "one of them: mean_image has a mean for each pixel", "Leave mean out"
            )
        scale = 1.0 if self.scale is None else _positive("scale", self.scale)
        for name, neutral in (("mean", 0.0), ("std", 1.0)):
            value = getattr(self, name)
            if value is not None or self.scale is not None:
                numbers = _three(name, neutral if value is None else value)
                changes[name] = tuple(number / scale for number in numbers)
        if self.interpolation is not None:
            changes["interpolation"] = self.interpolation
        fed = assumed if self.image_size is None else resized(assumed, self.image_size)
        if self.crop is not None:
            if not 0.01 <= _positive("crop", self.crop) <= 1:
                raise InputError(
                    f"crop={self.crop}", "a share of the image, above 0.01 and at most 1", "Customary is 0.875"
                )
            sides = tuple(math.floor(side / self.crop) for side in fed.size)
            changes["resize"] = sides[0] if fed.is_square else sides
        if self.mean_image is not None:
            changes["mean_image"] = pixel_mean(self.mean_image, scale)
        elif "mean" in changes:
            changes["mean_image"] = None
        self._refuse_other_units(changes, scale)
        try:
            return dataclasses.replace(fed, **changes)
        except InputError as error:
            if self.mean_image is None or "mean_image" not in error.given:
                raise
            side = size_words(fed.size)
            levels = ", or scale=255 for a mean of levels" if scale < 255 and "shape" not in error.given else ""
            raise InputError(
                error.given,
                f"a mean image of {side} pixels, in units where white is {scale:g}",
                f"Give image_size=… as the images were, or compute the mean on images of {side}{levels}",
            ) from error

    def _refuse_other_units(self, changes: dict[str, Any], scale: float) -> None:
        """Refuse a mean that no image can have: levels of 0 to 255 where white is 1, or shares where white is 255."""
        each = changes.get("mean_image")
        highest = max(changes.get("mean", ()), default=0.0)
        if each is not None:
            highest = max(highest, *memoryview(each.data).cast("f"))
        name = "mean_image" if each is not None else "mean"
        if highest > 1:
            raise InputError(
                f"{name} up to {highest * scale:g}, where white is {scale:g}",
                "a mean between black and white",
                "Give scale=255 for a mean of levels" if scale < 255 else f"Give {name} in the units of scale",
            )
        if scale > 1 and 0 < highest <= _DARKEST:
            raise InputError(
                f"{name} up to {highest * scale:g}, where white is {scale:g}",
                "a mean of more than one level of 255",
                f"Multiply {name} by {scale:g} if white is 1 in it. For images as dark as that, give mean and std "
                "with scale=1",
            )

    def assumption(self, settled: PreprocessSpec, whose: str) -> str:
        """Return a sentence on what of `settled` was assumed, "" where everything was stated.

        Args:
            settled: the whole transform.
            whose: where the rest of it comes from, as "timm's weights for this network expect".
        """
        parts = {
            "mean": self.mean is None and self.mean_image is None and self.scale is None,
            "std": self.std is None and self.scale is None,
            "interpolation": self.interpolation is None,
            "crop": self.crop is None,
            "image_size": self.image_size is None,
            "scale": self.scale is None and self.mean is None and self.mean_image is None,
        }
        assumed = [name for name, is_assumed in parts.items() if is_assumed]
        if not assumed:
            return ""
        names = some([f"{name}=…" for name in assumed])
        values = {
            "mean": some(f"{value:g}" for value in settled.mean),
            "std": some(f"{value:g}" for value in settled.std),
            "interpolation": settled.interpolation,
            "crop": f"{settled.crop_share:.4g}",
            "image_size": size_words(settled.size),
        }
        rest = "; ".join(f"{_WORDS[name]} {values[name]}" for name in assumed if name in values)
        what = f"Preprocessing assumed, as {whose}: {describe(settled)}"
        if not self.is_empty:
            what = f"Assumed of the preprocessing, as {whose}: {rest}"
        sentence = f"{what}. Where the file's own is different, give {names}."
        if parts["scale"]:
            # Nothing in a file of weights shows it, and with the wrong scale a perfect network scores by chance.
            sentence += " A network that takes levels of 0 to 255 needs scale=255."
        return sentence


def _three(name: str, value: Any) -> tuple[float, ...]:
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    if len(numbers) not in (1, 3):
        raise InputError(
            f"{name}={value!r}", "one number, or three for R, G and B", "Leave it out to assume the source's"
        )
    if not all(type(number) in (int, float) for number in numbers):
        raise InputError(f"{name}={value!r}", "numbers", "Leave it out to assume the source's")
    return numbers * 3 if len(numbers) == 1 else numbers


def _positive(name: str, value: float) -> float:
    if type(value) not in (int, float) or not 0 < value < 1e9:
        raise InputError(f"{name}={value!r}", "a number above 0", "Leave it out to assume the source's")
    return float(value)
