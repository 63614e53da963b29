"""A stranger's config.json in timm's layout: what it states of the network, its classes and its preprocessing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from residua._base.errors import Damaged, InputError
from residua._base.json_file import read_json
from residua.specs.preprocess import IMAGENET_MEAN, IMAGENET_STD, Interpolation, PreprocessSpec
from residua.weights.peers.same_network import OURS, ours_of

# timm's own defaults for what a config.json leaves out (timm/data/config.py, resolve_data_config).
_DEFAULTS: dict[str, Any] = {
    "input_size": [3, 224, 224],
    "interpolation": "bicubic",
    "mean": list(IMAGENET_MEAN),
    "std": list(IMAGENET_STD),
    "crop_pct": 0.875,
    "crop_mode": "center",
}


@dataclass(frozen=True)
class HubConfig:
    """What a config.json states; by default nothing.

    Attributes:
        path: the file.
        architecture: the network's name as written.
        network: our name of the network, or None where it names none that we have.
        classes: the names of the outputs, or ().
        fields: its description of the preprocessing as written, or {}.
        multilabel: whether an image may have several of the classes, as its `problem_type` states.
    """

    path: Path = Path("config.json")
    architecture: str = ""
    network: str | None = None
    classes: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    multilabel: bool = False

    @property
    def source(self) -> str | None:
        """Return "timm" where the file names a network of ours by timm's name."""
        return "timm" if self.network is not None and self.architecture != f"{OURS}{self.network}" else None

    @property
    def preprocess(self) -> PreprocessSpec | None:
        """Return the evaluation transform, or None where the file describes none.

        Raises:
            InputError: it describes one that Residua cannot follow.
        """
        if "residua" in self.fields:
            raise InputError(
                f"{self.path}, whose preprocessing has numbers for each pixel or each image",
                "the model.safetensors that was written with it, which holds them",
                "Give that run's folder",
            )
        return preprocess_of(self.fields, str(self.path)) if self.fields else None


def read_config(path: Path) -> HubConfig:
    """Read somebody's config.json.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        content = read_json(path, dict[str, Any])
    except Damaged as error:
        raise InputError(
            f"{path} cannot be read: {error.reason}",
            "a config.json in timm's layout",
            "Fetch it again, or leave it out",
        ) from None
    architecture = content.get("architecture")
    names = content.get("label_names")
    # Before 2023 the fields of the preprocessing stood at the top.
    nested = content.get("pretrained_cfg")
    fields = nested if isinstance(nested, Mapping) else content
    return HubConfig(
        path,
        architecture if isinstance(architecture, str) else "",
        ours_of(architecture) if isinstance(architecture, str) else None,
        tuple(map(str, names)) if isinstance(names, list) else (),
        {name: fields[name] for name in (*_DEFAULTS, "residua") if fields.get(name) is not None},
        content.get("problem_type") == "multi_label_classification",
    )


def preprocess_of(stated: Mapping[str, Any], source: str) -> PreprocessSpec:
    """Return the evaluation transform that fields in timm's form describe; what is left out takes timm's default.

    Args:
        stated: `input_size` (channels, height, width), `interpolation`, `mean`, `std`, `crop_pct`, `crop_mode`.
        source: what an error calls the fields.

    Raises:
        InputError: a transform that Residua cannot follow; names the field.
    """
    values = _DEFAULTS | {name: value for name, value in stated.items() if name in _DEFAULTS and value is not None}
    size = _sides(values["input_size"], source)
    share = values["crop_pct"]
    if not _is_number(share) or not 0.01 <= share <= 1:
        raise _unfollowed(source, "crop_pct", share, "a share of the image, at most 1")
    if values["interpolation"] not in get_args(Interpolation):
        raise _unfollowed(
            source, "interpolation", values["interpolation"], f"one of {', '.join(get_args(Interpolation))}"
        )
    if values["crop_mode"] not in ("center", "squash", "border"):
        raise _unfollowed(source, "crop_mode", values["crop_mode"], "one of center, squash, border")
    mean, std = (_three(values[name], name, source) for name in ("mean", "std"))
    height, width = (math.floor(side / share) for side in size)
    try:
        return PreprocessSpec(size, (height, width), values["interpolation"], mean, std, values["crop_mode"])
    except InputError as error:
        raise InputError(f"{source} declares {error.given}", error.wanted, _REMEDY) from error


_REMEDY = (
    "Convert the file of weights outside its folder, and state its preprocessing: "
    "residua convert FILE --model MODEL --out RUN --mean MEAN --std STD"
)


def _sides(value: Any, source: str) -> tuple[int, int]:
    sides = list(value) if isinstance(value, list | tuple) else []
    if len(sides) != 3 or not all(type(side) is int and 1 <= side <= 1 << 16 for side in sides):
        raise _unfollowed(source, "input_size", value, "[channels, height, width]")
    return sides[1], sides[2]


def _three(value: Any, name: str, source: str) -> tuple[float, float, float]:
    """Return three numbers, for R, G and B; a single number is repeated."""
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    if len(numbers) not in (1, 3) or not all(map(_is_number, numbers)):
        raise _unfollowed(source, name, value, "one number, or three: R, G, B")
    red, green, blue = (float(number) for number in (numbers if len(numbers) == 3 else numbers * 3))
    return red, green, blue


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9


def _unfollowed(source: str, name: str, value: Any, wanted: str) -> InputError:
    return InputError(f"{source} declares {name} {str(value)[:80]}, which Residua cannot follow", wanted, _REMEDY)
