"""A stranger's config.json in timm's layout: what it states of the network, its classes and its preprocessing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua.specs.preprocess import PreprocessSpec
from residua.weights.peers.same_network import OURS, ours_of


@dataclass(frozen=True)
class HubConfig:
    """What a config.json states; by default nothing.

    Attributes:
        architecture: the network's name as written.
        network: our name of the network, or None where it names none that we have.
        classes: the names of the outputs, or ().
        preprocess: the evaluation transform, or None.
    """

    architecture: str = ""
    network: str | None = None
    classes: tuple[str, ...] = ()
    preprocess: PreprocessSpec | None = None

    @property
    def source(self) -> str | None:
        """Return "timm" where the file names a network of ours by timm's name."""
        return "timm" if self.network is not None and self.architecture != f"{OURS}{self.network}" else None


def read_config(path: Path) -> HubConfig:
    """Read somebody's config.json.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}", "a config.json in timm's layout") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}", "a config.json in timm's layout")
    architecture = str(content.get("architecture") or "")
    names = content.get("label_names")
    classes = tuple(map(str, names)) if isinstance(names, list) else ()
    return HubConfig(architecture, ours_of(architecture), classes, _preprocess_of(content))


def _preprocess_of(config: Mapping[str, Any]) -> PreprocessSpec | None:
    """Return the evaluation transform that a config.json describes, None where it describes none that we have."""
    # Before 2023 the fields stood at the top.
    told = config["pretrained_cfg"] if isinstance(config.get("pretrained_cfg"), Mapping) else config
    try:
        size = int(max(told["input_size"][-2:]))
        resize = math.floor(size / float(told.get("crop_pct") or 0.875))
        kind = str(told.get("interpolation") or "bicubic")
        squares = told.get("crop_mode") in (None, "center")
        found = PreprocessSpec(size, resize, kind, tuple(told["mean"]), tuple(told["std"]))  # type: ignore[arg-type]
    except (InputError, KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return found if squares else None
