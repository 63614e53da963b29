"""config.json of a run: timm's local-dir layout, so that timm opens the networks that it has too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec

# Same graph, same state-dict keys, same name in timm: proven by tests/weights/test_bundle_timm.py.
_TIMM = frozenset(
    {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"}
    | {"resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"}
)
# Fields that change how a network is made or fed, never what it computes from given weights.
_HARMLESS = ("num_classes", "in_channels", "input_size", "zero_init_last_bn", "bn_momentum", "gate_bias")


def timm_name(spec: Spec) -> str | None:
    """Return timm's name of the network, or None when timm has none that computes the same."""
    if spec.name not in _TIMM:
        return None
    named = get_spec(spec.name)
    same = {name: getattr(spec, name) for name in _HARMLESS if hasattr(spec, name)}
    return str(spec.name) if named.edit(**same) == spec else None


def config_of(spec: Spec, classes: Sequence[str], preprocess: PreprocessSpec) -> dict[str, Any]:
    """Return the content of config.json: derived from the bundle, read by timm and by people."""
    twin = timm_name(spec)
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
            "first_conv": "conv1" if twin else None,
            "classifier": "fc" if twin else None,
            "pool_size": None,
        },
    }


def _crop_pct(image_size: int, resize: int) -> float:
    # timm resizes the shorter side to floor(image_size / crop_pct): it must come to `resize` again.
    share = image_size / resize
    while math.floor(image_size / share) < resize:
        share = math.nextafter(share, 0.0)
    return share
