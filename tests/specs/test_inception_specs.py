"""Refusals of Inception-v4 and Inception-ResNet-v2, and what distinguishes their published forms."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec


@pytest.mark.parametrize(
    ("name", "edits", "word"),
    [
        ("inception_v4", {"depths": (4, 7)}, "a list of 3 whole numbers"),
        ("inception_v4", {"depths": (4, 0, 3)}, "depths[1]=0. Wanted: a whole number, 1 to"),
        ("inception_v4", {"reduction_a": (192, 224, 256)}, "a list of 4 whole numbers"),
        ("inception_v4", {"dropout": 1.0}, "probability"),
        ("inception_v4", {"aux_weight": -0.1}, "aux_heads=False"),
        ("inception_v4", {"bn_eps": 0.0}, "bn_eps=0.0. Wanted: a finite number, 1e-12 to"),
        ("inception_v4", {"bn_scal": True}, "Did you mean bn_scale"),
        ("inception_v4", {"stem": "v4"}, "a family that has it"),
        ("inception_resnet_v2", {"depths": (10, 20, 0)}, "depths[2]=0. Wanted: a whole number, 1 to"),
        ("inception_resnet_v2", {"residual_scales": (0.1, 0.2)}, "a list of 3 numbers"),
        ("inception_resnet_v2", {"residual_scales": (0.1, 0.2, float("nan"))}, "residual_scales[2]=nan"),
        ("inception_resnet_v2", {"stem": "v5"}, "'v3', 'v4'"),
        (
            "inception_resnet_v2",
            {"last_width": -1},
            "last_width=-1. Wanted: a whole number, 0 to 16,777,216. Use 0 for none",
        ),
        ("inception_resnet_v2", {"last_relu": 1}, "true or false"),
        ("inception_resnet_v2", {"num_classes": -1}, "num_classes=-1"),
        ("inception_resnet_v1", {}, "inception_resnet_v2"),
    ],
)
def test_a_bad_spec_fails_when_it_is_made(name: str, edits: dict, word: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec(name, **edits)
    assert word in str(caught.value)
    assert caught.value.remedy


def test_edited_specs_survive_json() -> None:
    for name in ("inception_v4", "inception_resnet_v2"):
        spec = get_spec(name, depths=[1, 2, 3], aux_heads=True, bn_scale=False)
        assert Spec.from_json(spec.to_json()) == spec
