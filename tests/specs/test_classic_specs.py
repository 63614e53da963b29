"""Specs of the networks before the residual ones: what they refuse, and the names they go by."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError
from residua.specs import alexnet, highway, nin, vgg
from residua.specs.catalog import get_spec, list_models


def test_names_of_the_rows() -> None:
    names = [row.name for family in (alexnet, nin, vgg, highway) for row in family.ROWS]
    wanted = "alexnet alexnet_2012 zfnet zfnet_512_1024_512 nin cifar_nin vgg11 vgg13 vgg16 vgg19"
    wanted += " vgg11_bn vgg13_bn vgg16_bn vgg19_bn cifar_highway19 cifar_highway32"
    assert names == wanted.split()
    assert list_models("highway_mlp*") == [f"highway_mlp{depth}" for depth in (10, 20, 50, 100)]


def test_depths_are_what_the_names_say() -> None:
    for name in ("vgg11", "vgg13_bn", "vgg16", "vgg19", "cifar_highway19", "cifar_highway32", "highway_mlp2"):
        assert get_spec(name).depth == int("".join(filter(str.isdigit, name)))
    assert (get_spec("alexnet").depth, get_spec("nin").depth, get_spec("cifar_nin").depth) == (8, 12, 9)


@pytest.mark.parametrize("depth", [2, 3, 10, 137, 1000])
def test_a_fully_connected_highway_has_any_depth(depth: int) -> None:
    assert get_spec(f"highway_mlp{depth}").depth == depth


@pytest.mark.parametrize("depth", [0, 1])
def test_one_layer_is_no_highway(depth: int) -> None:
    with pytest.raises(InputError) as caught:
        get_spec(f"highway_mlp{depth}")
    assert "n >= 2" in str(caught.value)
    assert "highway_mlp2 and highway_mlp3" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "edits", "words"),
    [
        ("alexnet", {"widths": (64, 192, 384, 256)}, "a list of 5 whole numbers"),
        ("alexnet", {"widths": (64, 192, 384, 256, 0)}, "widths[4]=0. Wanted: a whole number, 1 to"),
        ("alexnet", {"paddings": (-1, 2, 1, 1, 1)}, "paddings[0]=-1. Wanted: a whole number, 0 to"),
        ("alexnet", {"pool_paddings": (2, 0, 0)}, "At most half of a 3×3 window"),
        ("alexnet", {"groups": (1, 3, 1, 1, 1)}, "groups=3 in convolution 2, which leads 64 channels to 192"),
        ("alexnet", {"dropout": 1.0}, "a probability"),
        ("alexnet", {"dropout_site": "behind"}, "'before', 'after'"),
        ("alexnet", {"lrn": "yes"}, "'none', 'before_pool', 'after_pool'"),
        ("alexnet_2012", {"lrn_k": 0.0}, "lrn_k=0.0. Wanted: a finite number, above 0 to"),
        ("alexnet_2012", {"lrn_alpha": -1e-4}, "lrn_alpha=-0.0001. Wanted: a finite number, 0 to"),
        ("alexnet_2012", {"lrn_size": 0}, "lrn_size=0"),
        ("alexnet_2012", {"init_std": 0.0}, "init_std=0.0. Wanted: a finite number, above 0 to"),
        ("alexnet_2012", {"init_std": None}, "init_std=0.01"),
        ("alexnet_2012", {"init_bias_layers": (9,)}, "layers from 1 to 8"),
        ("vgg16", {"depths": (2, 2, 3, 3)}, "one width for each stage"),
        ("vgg16", {"grid": 0}, "grid=0"),
        ("vgg16_bn", {"bn_eps": 0.0}, "bn_eps=0.0. Wanted: a finite number, 1e-12 to"),
        ("vgg16", {"dropout": -0.1}, "0 is none"),
        ("nin", {"widths": ()}, "1 to 1,000 entries"),
        (
            "nin",
            {"widths": ((96, 0), (256,), (384,), (1024,))},
            "widths[0][1]=0. Wanted: a whole number, 1 to",
        ),
        ("nin", {"widths": ((96.5,),)}, "a whole number"),
        (
            "nin",
            {"pools": ("max", "max")},
            "2 pools for nin. Wanted: 4 of each for the 4 blocks of widths, and 3 pools",
        ),
        ("nin", {"pools": ("max", "max", "mean")}, "'max', 'avg'"),
        ("nin", {"paddings": (0, 2, 1, -1)}, "paddings[3]=-1. Wanted: a whole number, 0 to"),
        ("nin", {"dropout_pools": (4,)}, "pools from 1 to 3"),
        ("nin", {"init_small": (13,)}, "layers from 1 to 12"),
        ("nin", {"init_std": 0.0}, "init_std=0.0. Wanted: a finite number, above 0 to 1,000. Leave it out for 0.05"),
        ("cifar_highway19", {"depths": (4, 5)}, "2 of each for the 2 stages of depths, and 3 dropouts"),
        ("cifar_highway19", {"dropouts": (0.2,)}, "1 dropouts"),
        ("cifar_highway19", {"kernels": (3, 2)}, "odd sides"),
        ("cifar_highway19", {"entry_kernels": (3, 0, 3)}, "stage 2 leads 32 channels to 80"),
        ("cifar_highway19", {"entry_kernels": (0, 3, 3)}, "stage 1 leads 3 channels to 32"),
        ("cifar_highway19", {"pools": (2, 2, -2)}, "Use 0 to leave one out"),
        ("cifar_highway19", {"transform_bias": float("nan")}, "a finite number"),
        ("cifar_highway19", {"gates": 1}, "true or false"),
        ("highway_mlp10", {"depth": 1}, "depth=1. Wanted: a whole number, 2 to"),
        ("highway_mlp10", {"width": 0}, "width=0"),
        ("highway_mlp10", {"activation": "gelu"}, "'relu', 'tanh'"),
        ("highway_mlp10", {"gatess": False}, "Did you mean gates"),
    ],
)
def test_a_bad_spec_is_refused_with_what_to_do(name: str, edits: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec(name, **edits)
    assert words in str(caught.value)
    assert caught.value.remedy
