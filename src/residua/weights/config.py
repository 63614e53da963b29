"""config.json of a run: timm's local-dir layout, so that timm opens the networks that it has too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.twins import twin_of

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
        "architecture": twin or f"residua:{spec.name}",
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


def _crop_pct(image_size: int, resize: int) -> float:
    # timm resizes the shorter side to floor(image_size / crop_pct): it must come to `resize` again.
    share = image_size / resize
    while math.floor(image_size / share) < resize:
        share = math.nextafter(share, 0.0)
    return share
