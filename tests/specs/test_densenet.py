"""Names, shapes and refusals of the dense networks."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError
from residua.specs.catalog import get_spec, list_models
from residua.specs.densenet import ROWS


def test_names() -> None:
    assert [row.name for row in ROWS] == [f"densenet{depth}" for depth in (121, 161, 169, 201)]
    wanted = "40_12 100_12 100_24 bc100_12 bc250_24 bc190_40"
    assert list_models("cifar_densenet*") == [
        f"cifar_densenet{'_' if name.startswith('bc') else ''}{name}" for name in wanted.split()
    ]


@pytest.mark.parametrize("name", list_models("*densenet*"))
def test_depths_are_what_the_names_say(name: str) -> None:
    digits = name.removeprefix("cifar_").removeprefix("densenet").removeprefix("_bc").split("_")
    spec = get_spec(name)
    assert spec.depth == int(digits[0])
    assert len(digits) == 1 or spec.growth == int(digits[1])


def test_channels_of_the_paper() -> None:
    """Table 1 of the paper gives layers; DenseNet-121 ends with 1024 channels, 161 with 2208."""
    assert get_spec("densenet121").block_channels == ((64, 256), (128, 512), (256, 1024), (512, 1024))
    assert get_spec("densenet161").block_channels[-1][1] == 2208
    assert get_spec("cifar_densenet40_12").block_channels == ((16, 160), (160, 304), (304, 448))
    assert get_spec("cifar_densenet_bc100_12").block_channels == ((24, 216), (108, 300), (150, 342))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("cifar_densenet41_12", "cifar_densenet40_12 and cifar_densenet43_12"),
        ("cifar_densenet4_12", "cifar_densenet7_12 and cifar_densenet10_12"),
        ("cifar_densenet_bc101_12", "cifar_densenet_bc100_12 and cifar_densenet_bc106_12"),
        ("cifar_densenet_bc100_0", "nearest: cifar_densenet_bc100_1."),
        ("densenet120", "densenet121"),
    ],
)
def test_unknown_names_name_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec(name)
    assert near in str(caught.value)


@pytest.mark.parametrize(
    ("edits", "word"),
    [
        ({"growth": 0}, "growth=0"),
        ({"depths": ()}, "1 to 1,000 entries"),
        ({"depths": (6, 0)}, "depths[1]=0. Wanted: a whole number, 1 to"),
        ({"bottleneck": -1}, "bottleneck=-1. Wanted: a whole number, 0 to"),
        ({"compression": 0.0}, "compression=0.0. Wanted: a finite number, above 0 to 1"),
        ({"compression": 1.5}, "compression=1.5. Wanted: a finite number, above 0 to 1"),
        ({"compression": 0.001}, "at least one channel behind each transition"),
        ({"dropout": 1.0}, "probability"),
        ({"recompute": 1}, "true or false"),
        ({"stem": "cifarr"}, "Did you mean cifar?"),
        ({"bn_eps": 0.0}, "bn_eps=0.0. Wanted: a finite number, 1e-12 to"),
        ({"grow": 12}, "growth"),
        ({"num_classes": -1}, "num_classes=-1"),
    ],
)
def test_a_bad_spec_fails_when_it_is_made(edits: dict, word: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec("densenet121", **edits)
    assert word in str(caught.value)
    assert caught.value.remedy
