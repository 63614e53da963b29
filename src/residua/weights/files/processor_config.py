"""preprocessor_config.json of Hugging Face's image processors: the evaluation transform that it states.

Fields and their meaning are those of transformers' `ConvNextImageProcessor`, which its ResNets have. Processors that
resize to `size` and may crop `crop_size` from the centre (ViT, DeiT, BiT) are read too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard, get_args

from residua._base.errors import Damaged, InputError
from residua._base.json_file import read_json
from residua.specs.preprocess import CropMode, Interpolation, PreprocessSpec

PROCESSOR_FILE = "preprocessor_config.json"

# Pillow's numbers of its filters, which the file states.
_FILTERS: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# What changes pixels in a way that no PreprocessSpec has.
_UNKNOWN = ("do_flip_channel_order", "do_pad", "offset", "do_thumbnail", "do_align_long_axis", "do_grayscale")
_SQUASHED_FROM = 384  # ConvNextImageProcessor.resize: from this side on both sides are resized, and nothing is cropped
_REMEDY = (
    "Convert the file of weights outside its folder, and state its preprocessing: "
    "residua convert FILE --model MODEL --out RUN --mean MEAN --std STD"
)


def read_processor(path: Path) -> PreprocessSpec:
    """Return the evaluation transform that a preprocessor_config.json states.

    Raises:
        InputError: it cannot be read, lacks a part whose default depends on the version that wrote it, or states
            something that Residua cannot follow; names the field.
    """
    try:
        content = read_json(path, dict[str, Any])
    except Damaged as error:
        raise InputError(
            f"{path} cannot be read: {error.reason}", "an image processor's configuration", "Fetch it again"
        ) from None
    for name in _UNKNOWN:
        if content.get(name):
            raise _unfollowed(path, name, content[name], f"{name} false")
    if content.get("do_resize", True) is not True:
        raise _unfollowed(path, "do_resize", content["do_resize"], "images resized to one size")
    number = content.get("resample")
    if not isinstance(number, int) or number not in _FILTERS:
        raise _unfollowed(path, "resample", number, f"one of {', '.join(map(str, _FILTERS))}: {', '.join(_filters())}")
    side, resized, mode = _sizes(path, content)
    mean, std = _normalisation(path, content)
    try:
        return PreprocessSpec(side, resized, _FILTERS[number], mean, std, mode)
    except InputError as error:
        raise InputError(f"{path} declares {error.given}", error.wanted, _REMEDY) from error


def _filters() -> tuple[str, ...]:
    return get_args(Interpolation)


def _sizes(path: Path, content: Mapping[str, Any]) -> tuple[Any, Any, CropMode]:
    """Return (what the network receives, what is cropped from, the mode of the resize)."""
    size, kind = (
        content.get("size"),
        str(content.get("image_processor_type", content.get("feature_extractor_type", ""))),
    )
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else size
    if kind.startswith("ConvNext"):
        side = _side(path, "size", shortest)
        share = content.get("crop_pct")
        if side >= _SQUASHED_FROM:
            return side, side, "squash"
        if not _is_number(share) or not 0.01 <= share <= 1:
            raise _unfollowed(path, "crop_pct", share, "a share of the image, at most 1")
        return side, math.floor(side / share), "center"
    crop = content.get("crop_size") if content.get("do_center_crop") else None
    pair = None if crop is None else _pair(path, "crop_size", crop)
    if isinstance(size, Mapping) and {"height", "width"} <= size.keys():
        whole = _pair(path, "size", size)
        return (pair or whole), whole, "squash"
    whole_side = _side(path, "size", shortest)
    if pair is None:
        raise _unfollowed(path, "size", size, "do_center_crop with crop_size, so that all images get one size")
    if pair[0] != pair[1]:
        raise _unfollowed(path, "crop_size", crop, "a square")
    return pair[0], whole_side, "center"


def _normalisation(path: Path, content: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return mean and std in units of [0, 1]: the network sees (level · factor - mean) / std."""
    factor = content.get("rescale_factor", 1 / 255) if content.get("do_rescale", True) else 1.0
    if not _is_number(factor) or factor <= 0:
        raise _unfollowed(path, "rescale_factor", factor, "a number above 0, such as 1 / 255")
    white = 255 * factor
    mean, std = (0.0,) * 3, (1.0,) * 3
    if content.get("do_normalize", True):
        mean, std = (_three(path, name, content.get(name)) for name in ("image_mean", "image_std"))
    if abs(white - 1) < 1e-6:
        return mean, std
    return tuple(value / white for value in mean), tuple(value / white for value in std)


def _pair(path: Path, name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, Mapping):
        return _side(path, name, value.get("height")), _side(path, name, value.get("width"))
    return (_side(path, name, value),) * 2


def _side(path: Path, name: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 1 << 16:
        raise _unfollowed(path, name, value, "whole numbers of pixels: shortest_edge, or height and width")
    return value


def _three(path: Path, name: str, value: Any) -> tuple[float, float, float]:
    if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
        raise _unfollowed(path, name, value, "three numbers: R, G, B")
    red, green, blue = map(float, value)
    return red, green, blue


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and abs(value) < 1e9


def _unfollowed(path: Path, name: str, value: Any, wanted: str) -> InputError:
    stated = f"lacks {name}" if value is None else f"declares {name} {str(value)[:80]}, which Residua cannot follow"
    return InputError(f"{path} {stated}", wanted, _REMEDY)
