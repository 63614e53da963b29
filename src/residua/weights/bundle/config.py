"""config.json of a run: timm's local-dir layout, so that timm opens the networks that it has too."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.peers.same_network import TWINS, twin_of

OURS = "residua:"

# The first convolution and the classifier, by family, of the networks that have timm's names.
_ENDS = {
    "resnet": ("conv1", "fc"),
    "densenet": ("features.conv0", "classifier"),
    "inception_v3": ("Conv2d_1a_3x3.conv", "fc"),
    "inception_v4": ("features.0.conv", "last_linear"),
    "inception_resnet": ("conv2d_1a.conv", "classif"),
}


def timm_name(spec: Spec) -> str | None:
    """Return timm's name of the network whose graph and state-dict keys are ours, or None when timm has none."""
    twin = twin_of(spec, "timm")
    same = twin is not None and twin.same_keys and getattr(spec, "head", "linear") == "linear"
    edits = twin.edits if twin is not None else {}
    return twin.name if twin is not None and same and all(getattr(spec, k) == v for k, v in edits.items()) else None


def config_of(spec: Spec, classes: Sequence[str], preprocess: PreprocessSpec) -> dict[str, Any]:
    """Return the content of config.json: derived from the bundle, read by timm and by people."""
    twin = timm_name(spec)
    first, last = _ENDS[spec.family] if twin else (None, None)
    return {
        "architecture": twin or f"{OURS}{spec.name}",
        "library_name": "timm" if twin else "residua",
        "num_classes": len(classes),
        "label_names": list(classes),
        "pretrained_cfg": {
            "input_size": [spec.in_channels, preprocess.image_size, preprocess.image_size],
            "fixed_input_size": False,
            "interpolation": preprocess.interpolation,
            "crop_pct": _crop_pct(preprocess.image_size, preprocess.resize),
            "crop_mode": "center",
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
            "num_classes": len(classes),
            "first_conv": first,
            "classifier": last,
            "pool_size": None,
        },
    }


def read_config(path: Path) -> dict[str, Any]:
    """Return the content of somebody's config.json.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}", "a config.json in timm's layout") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}", "a config.json in timm's layout")
    return content


def network_of(config: Mapping[str, Any]) -> str | None:
    """Return our name of the network that a config.json names, None where it names none that we have."""
    named = str(config.get("architecture") or "")
    if named.startswith(OURS):
        return named.removeprefix(OURS)
    return next((ours for ours, twin in TWINS["timm"].items() if twin.name == named), None)


def preprocess_of(config: Mapping[str, Any]) -> PreprocessSpec | None:
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


def _crop_pct(image_size: int, resize: int) -> float:
    # timm resizes the shorter side to floor(image_size / crop_pct): it must come to `resize` again.
    share = image_size / resize
    while math.floor(image_size / share) < resize:
        share = math.nextafter(share, 0.0)
    return share
