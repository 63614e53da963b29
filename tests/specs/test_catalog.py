"""Names, edits and refusals of the catalog."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError
from residua.specs import schema
from residua.specs.catalog import get_spec, list_models
from residua.specs.resnet import ROWS


def test_names_are_a_contract() -> None:
    wanted = "plain18 plain34 resnet18 resnet34 resnet50 resnet101 resnet152 resnet50_v1 resnet101_v1 resnet152_v1"
    wanted += " resnet18_v2 resnet34_v2 resnet50_v2 resnet101_v2 resnet152_v2 resnet200_v2 wide_resnet50_2"
    wanted += " wide_resnet101_2 resnext50_32x4d resnext101_32x8d resnext101_64x4d seresnet50 seresnet101 seresnet152"
    wanted += " seresnet50_v1 seresnet101_v1 seresnet152_v1"
    assert [row.name for row in ROWS] == wanted.split()


def test_search() -> None:
    assert list_models("cifar_plain*") == [f"cifar_plain{d}" for d in (20, 32, 44, 56, 110)]
    assert list_models("nothing*") == []
    assert len(set(list_models())) == len(list_models())


@pytest.mark.parametrize("name", ["cifar_resnet8", "cifar_resnet1202", "cifar_wrn10_3", "cifar_resnet65_v2_bottleneck"])
def test_any_legal_depth(name: str) -> None:
    assert get_spec(name).name == name


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("cifar_resnet21", "cifar_resnet20 and cifar_resnet26"),
        ("cifar_resnet2", "cifar_resnet8 and cifar_resnet14"),
        ("cifar_resnet0", "cifar_resnet8 and cifar_resnet14"),
        ("cifar_resnet165_v2_bottleneck", "cifar_resnet164_v2_bottleneck and cifar_resnet173_v2_bottleneck"),
        ("cifar_wrn27_10", "cifar_wrn22_10 and cifar_wrn28_10"),
        ("cifar_wrn28_0", "width >= 1"),
        ("resnet51", "resnet50, resnet18 or"),
        ("", "residua models"),
    ],
)
def test_unknown_names_name_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec(name)
    assert near in str(caught.value)


@pytest.mark.parametrize(
    ("edits", "word"),
    [
        ({"shortcutt": "pad"}, "shortcut"),
        ({"shortcut": "sideways"}, "projection_all"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": 2.5}, "num_classes=2.5"),
        ({"widths": (64,)}, "one width for each stage"),
        ({"dropout": 1.0}, "probability"),
        ({"cardinality": 32, "unit": "basic", "expansion": 1}, "bottleneck"),
        ({"shortcut": "none", "gate": "constant"}, "shortcut to gate"),
        ({"bias": ("everywhere",)}, "everywhere"),
        ({"bn_eps": 0.0}, "bn_eps"),
    ],
)
def test_a_bad_spec_fails_when_it_is_made(edits: dict, word: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec("resnet50", **edits)
    assert word in str(caught.value)


def test_diff_names_the_fields() -> None:
    found = schema.diff(get_spec("resnet50"), get_spec("resnet50_v1"))
    assert found == {"name": ("resnet50", "resnet50_v1"), "stride_site": ("first_3x3", "first_1x1")}


@pytest.mark.parametrize("broken", [{"family": "unknown"}, {"family": "resnet", "name": "x"}, {}])
def test_from_json_refuses(broken: dict) -> None:
    with pytest.raises(InputError):
        schema.from_json(broken)


def test_depths_are_what_the_names_say() -> None:
    for name, depth in (("resnet50", 50), ("cifar_resnet1202", 1202), ("cifar_resnet164_v2_bottleneck", 164)):
        assert get_spec(name).depth == depth
