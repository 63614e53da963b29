"""Names, edits and refusals of the catalog."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError
from residua.specs.augment import AugmentSpec
from residua.specs.catalog import get_spec, list_models
from residua.specs.preprocess import PreprocessSpec
from residua.specs.resnet import ROWS
from residua.specs.schema import Spec


def test_names_of_the_rows() -> None:
    wanted = "plain18 plain34 resnet18_plainstem resnet34_plainstem"
    wanted += " resnet18 resnet34 resnet50 resnet101 resnet152 resnet50_v1 resnet101_v1 resnet152_v1"
    wanted += " resnet18_v2 resnet34_v2 resnet50_v2 resnet101_v2 resnet152_v2 resnet200_v2"
    wanted += " resnet50_v2_slim resnet101_v2_slim resnet152_v2_slim resnet200_v2_slim resnet50_keras resnet101_keras"
    wanted += " resnet152_keras resnet50_v2_keras resnet101_v2_keras resnet152_v2_keras wide_resnet50_2"
    wanted += " wide_resnet101_2 resnext50_32x4d resnext101_32x8d resnext101_64x4d seresnet50 seresnet101 seresnet152"
    wanted += " seresnet50_v1 seresnet101_v1 seresnet152_v1 senet154"
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
        ("cifar_wrn28_0", "nearest: cifar_wrn28_1."),
        ("cifar_wrn27_0", "nearest: cifar_wrn22_1 and cifar_wrn28_1."),
        ("cifar_resnet21_keras", "cifar_resnet20_keras and cifar_resnet26_keras"),
        ("cifar_resnet32_v2_keras", "cifar_resnet29_v2_keras and cifar_resnet38_v2_keras"),
        ("cifar_resnet020", "Did you mean cifar_resnet20"),
        ("cifar_resnet\u0662\u0660", "Did you mean cifar_resnet"),
        ("cifar_wrn28_010", "Did you mean cifar_wrn28_10"),
        ("cifar_resnet" + "9" * 5000, "residua models"),
        ("resnet51", "resnet50, resnet34 or"),
        ("x", "a name of the catalog, such as resnet50, cifar_resnet20 or vgg16. See them all"),
        ("", "a network without a name, ''. Wanted: a name of the catalog, such as resnet50"),
        (" ", "a network without a name"),
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
        ({"num_classes": -1}, "num_classes=-1"),
        ({"num_classes": 2.5}, "num_classes=2.5"),
        ({"widths": (64,)}, "one width for each stage"),
        ({"dropout": 1.0}, "probability"),
        ({"cardinality": 32, "unit": "basic", "expansion": 1}, "bottleneck"),
        ({"shortcut": "none", "gate": "constant"}, "shortcut to gate"),
        ({"bias": ("everywhere",)}, "bias[0]='everywhere'"),
        ({"bn_eps": 0.0}, "bn_eps"),
        ({"bn_momentum": "x"}, "bn_momentum='x'. Wanted: a finite number"),
        ({"bn_momentum": 1.5}, "bn_momentum=1.5. Wanted: a finite number, 0 to 1"),
        ({"stem_norm": "no"}, "true or false"),
        ({"projection_norm": 1}, "true or false"),
        ({"se_ratio": 1.5}, "se_ratio=1.5. Wanted: a whole number"),
        ({"se_ratio": True}, "a whole number"),
        ({"shortcut_scale": float("nan")}, "a finite number"),
        ({"dropout": "0.1"}, "a finite number"),
        ({"gate_bias": 10**400}, "a finite number"),
        ({"paper": 50}, "text"),
        ({"depths": (3, 4.0, 6, 3)}, "depths[1]=4.0"),
        ({"depths": "3463"}, "a list of whole numbers"),
        ({"depths": ()}, "1 to 1,000 entries"),
        ({"bias": "stem"}, "a list of entries, each one of 'stem'"),
        ({"activation": ["post"]}, "'bn_after_add'"),
        ({"zero_init_last_bn": True, "activation": "bn_after_add"}, "every gradient"),
        ({"zero_init_last_bn": True, "activation": "relu_before_add"}, "no gradient to the branch"),
        ({"zero_init_last_bn": True, "activation": "full_pre"}, "no last BN"),
        ({"zero_init_last_bn": True, "shortcut": "none"}, "without a shortcut"),
        ({"shortcut": "pad", "widths": (8, 128, 256, 512)}, "64 → 32 → 512"),
        ({"head_dropout": 1.0}, "probability"),
        ({"projection_kernel": 2}, "1 or 3"),
        ({"final_norm": False}, "activation='full_pre'"),
        ({"end_points": "slim", "activation": "relu_only_pre"}, "a network that TF-slim names"),
        ({"end_points": "slim", "unit": "basic", "expansion": 1}, "bottlenecks"),
        ({"stem": "deep", "stem_width": 63}, "an even number"),
        ({"inner_widths": (64, 128)}, "one inner width for each stage"),
        ({"inner_widths": (64, 128, 256, 500), "cardinality": 32}, "The nearest is 512"),
        ({"inner_widths": (0, 1, 1, 1)}, "inner_widths[0]=0. Wanted: a whole number, 1 to"),
        ({"inner_widths": (8, 8, 8, 8), "unit": "basic", "expansion": 1}, "alone has an inner width"),
        ({"reduce_first": 0}, "reduce_first=0. Wanted: a whole number, 1 to"),
        ({"reduce_first": 3}, "a divisor of the inner widths [64, 128, 256, 512]"),
        ({"init": "he"}, "'he_truncated'"),
    ],
)
def test_a_bad_spec_fails_when_it_is_made(edits: dict, word: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec("resnet50", **edits)
    assert word in str(caught.value)


def test_every_refusal_names_a_remedy() -> None:
    for edits in ({"num_classes": -1}, {"widths": (64,)}, {"dropout": 1.0}, {"bn_eps": 0.0}, {"se_ratio": -1}):
        with pytest.raises(InputError) as caught:
            get_spec("resnet50", **edits)
        assert caught.value.remedy


def test_lists_and_whole_numbers_become_what_the_fields_hold() -> None:
    spec = get_spec("resnet50", depths=[3, 4, 6, 3], bias=["stem"], dropout=0, projection_norm=None)
    assert (spec.depths, spec.bias) == ((3, 4, 6, 3), ("stem",))
    assert type(spec.dropout) is float
    assert hash(spec) == hash(get_spec("resnet50", bias=("stem",)))
    assert Spec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("kind", "fields", "word"),
    [
        (AugmentSpec, {"flip": "yes"}, "true or false"),
        (AugmentSpec, {"mixup": float("nan")}, "a finite number"),
        (AugmentSpec, {"scale": 0.5}, "a list of 2 numbers"),
        (AugmentSpec, {"scale": (0.0, 1.0)}, "Try"),
        (AugmentSpec, {"crop": "padd"}, "Did you mean pad?"),
        (AugmentSpec, {"pad": 2.5}, "a whole number"),
        (PreprocessSpec, {"image_size": "224"}, "a whole number, 1 to 4,096. Leave it out for 224"),
        (PreprocessSpec, {"mean": (0.5, 0.5)}, "a list of 3 numbers"),
        (PreprocessSpec, {"std": (0.5, 0.5, float("inf"))}, "std[2]=inf"),
        (PreprocessSpec, {"interpolation": "cubic"}, "Did you mean bicubic?"),
    ],
)
def test_the_other_specs_check_types_too(kind: type, fields: dict, word: str) -> None:
    with pytest.raises(InputError) as caught:
        kind(**fields)
    assert word in str(caught.value)
    assert AugmentSpec(scale=[0.5, 1]).scale == (0.5, 1.0)  # type: ignore[arg-type]


def test_a_spec_of_any_depth_is_made_at_once() -> None:
    assert sum(get_spec("cifar_resnet99999998").depths) == 49999998


def test_a_width_beyond_all_memory_is_no_network() -> None:
    assert get_spec("cifar_wrn16_99999").widths[0] == 16 * 99999
    with pytest.raises(InputError, match="cifar_wrn16_"):
        get_spec("cifar_wrn16_100000")


def test_diff_names_the_fields() -> None:
    found = get_spec("resnet50").diff(get_spec("resnet50_v1"))
    assert found == {"name": ("resnet50", "resnet50_v1"), "stride_site": ("first_3x3", "first_1x1")}


@pytest.mark.parametrize("broken", [{"family": "unknown"}, {"family": "resnet", "name": "x"}, {}])
def test_from_json_refuses(broken: dict) -> None:
    with pytest.raises(InputError):
        Spec.from_json(broken)


def test_depths_are_what_the_names_say() -> None:
    for name, depth in (
        ("resnet50", 50),
        ("cifar_resnet1202", 1202),
        ("cifar_resnet164_v2_bottleneck", 164),
        ("senet154", 154),
    ):
        assert get_spec(name).depth == depth
