"""The names that are offered for one that the catalog does not have."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError, Notice
from residua.specs.catalog import get_spec, list_models
from residua.specs.near_misses import near_misses

OFFERS = [
    ("resnext50", ["resnext50_32x4d", "resnext101_32x8d"]),
    ("resnext101", ["resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d"]),
    ("resnext50_32x8d", ["resnext50_32x4d"]),
    ("wide_resnet50", ["wide_resnet50_2"]),
    ("WideResNet101", ["wide_resnet101_2", "wide_resnet50_2"]),
    ("wrn", ["cifar_wrn16_1"]),
    ("wide_resnet28", ["cifar_wrn28_10"]),
    ("seresnet", ["seresnet50", "seresnet101", "seresnet152"]),
    ("seresnet34", ["seresnet50"]),
    ("senet", ["senet154"]),
    ("densenet", ["densenet121", "densenet161", "densenet169"]),
    ("densenet_bc", ["cifar_densenet_bc100_12"]),
    ("vgg", ["vgg11", "vgg13", "vgg16"]),
    ("vgg15", ["vgg16", "vgg13", "vgg11"]),
    ("inception", ["inception_v3", "inception_v4", "inception_resnet_v2"]),
    ("inception_v5", ["inception_v4", "inception_v3"]),
    ("preact", ["resnet18_v2", "resnet34_v2", "resnet50_v2"]),
    ("preact_resnet20", ["resnet18_v2", "resnet34_v2", "cifar_resnet20_v2"]),
    ("resnet", ["resnet18", "resnet34", "resnet50"]),
    ("resnet21", ["resnet18", "resnet34", "cifar_resnet20"]),
    ("plain50", ["plain34", "cifar_plain44"]),
    ("resnet50_v3", ["resnet50_v1", "resnet50_v2"]),
    ("reznet50", ["resnet50"]),
    ("resnet5", ["resnet50"]),
]


@pytest.mark.parametrize(("name", "offered"), OFFERS)
def test_the_first_offers_are_of_the_family(name: str, offered: list[str]) -> None:
    assert near_misses(name, list_models())[: len(offered)] == offered
    with pytest.raises(InputError, match=f"Did you mean {offered[0]}"):
        get_spec(name)


def test_another_case_or_separator_offers_that_network_alone() -> None:
    names = list_models()
    for name in names:
        assert near_misses(name.upper().replace("_", "-"), names)[0] == name


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("ReSNeT50", "resnet50"),
        ("resnet 50", "resnet50"),
        ("resnet_50", "resnet50"),
        ("resnet-50", "resnet50"),
        ("NiN", "nin"),
        ("CIFAR-NiN", "cifar_nin"),
        ("alexnet2012", "alexnet_2012"),
        ("CIFAR_RESNET20", "cifar_resnet20"),
        ("resnext50-32x4d", "resnext50_32x4d"),
    ],
)
def test_case_blanks_and_separators_mean_nothing_where_one_network_is_left(name: str, ours: str) -> None:
    with pytest.warns(Notice, match=f"{name} is {ours} here") as seen:
        assert get_spec(name) == get_spec(ours)
    assert [warning.filename for warning in seen] == [__file__]


def test_what_resembles_nothing_is_offered_nothing() -> None:
    for name in ("", "x'y", "\u0662\u0660", "-", "9" * 5000):
        assert near_misses(name, list_models()) == []
