"""Other people's names: the network that each is, and what is said of those that we do not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import residua
from residua._base.errors import InputError, Notice
from residua.anatomy import inspect
from residua.cli.app import main
from residua.specs.aliases import ALIASES, equal_of
from residua.specs.catalog import get_spec, list_models
from residua.specs.no_equal import NO_EQUALS, nearest_of
from residua.weights.peers.same_network import peer_network_of

# (theirs, ours, fields of the spec)
NAMES = [
    ("resnet_v2_50", "resnet50_v2_slim", {}),
    ("resnet_v2_200", "resnet200_v2_slim", {}),
    ("resnet_v1_101", "resnet101_v1", {"pool_padding": "same", "stride_site": "last_3x3", "shortcut": "max_pool"}),
    ("resnet_v2_50_slim", "resnet50_v2_slim", {}),
    ("resnet_v1_50_slim", "resnet50_v1", {"stride_site": "last_3x3", "shortcut": "max_pool"}),
    ("resnet50_v1_slim", "resnet50_v1", {"pool_padding": "same"}),
    ("resnet200", "resnet152", {"depths": (3, 24, 36, 3), "stride_site": "first_3x3"}),
    ("tf_inception_v3", "inception_v3", {"aux_heads": False}),
    ("ens_adv_inception_resnet_v2", "inception_resnet_v2", {}),
    ("ResNet50", "resnet50_keras", {}),
    ("ResNet50V2", "resnet50_v2_keras", {}),
    ("ResNet152v2", "resnet152_v2_keras", {}),
    ("ResNet20v1", "cifar_resnet20_keras", {}),
    ("ResNet29v2", "cifar_resnet29_v2_keras", {}),
    ("InceptionV3", "inception_v3", {"aux_heads": False, "dropout": 0.0}),
    ("DenseNet121", "densenet121", {"bn_eps": 1.001e-5}),
    ("resnetv2_50", "resnet50_v2", {}),
    ("resnetv2_50.a1h_in1k", "resnet50_v2", {}),
    ("resnet50.a1_in1k", "resnet50", {}),
    ("timm/resnet50.a1_in1k", "resnet50", {}),
    ("legacy_senet154", "senet154", {}),
    ("seresnext50_32x4d", "resnext50_32x4d", {"se_ratio": 16}),
    ("resnet101c", "resnet101", {"stem": "deep"}),
    ("tv_resnet34", "resnet34", {}),
    ("microsoft/resnet-152", "resnet152", {}),
    ("resnet18_v1", "resnet18", {}),
    ("resnet50_v1b", "resnet50", {}),
    ("ResNet-34", "resnet34", {"shortcut": "projection"}),
    ("ResNet-50", "resnet50_v1", {}),
    ("ResNet-110", "cifar_resnet110", {"shortcut": "pad"}),
    ("plain-34", "plain34", {}),
    ("plain-20", "cifar_plain20", {}),
    ("SE-ResNet-50", "seresnet50_v1", {}),
    ("ResNeXt-50 (32x4d)", "resnext50_32x4d", {}),
    ("VGG-16", "vgg16", {}),
    ("Inception-v4", "inception_v4", {}),
    ("wrn_28_10", "cifar_wrn28_10", {}),
    ("WRN-28-10", "cifar_wrn28_10", {}),
    ("wide-resnet-40x2", "cifar_wrn40_2", {}),
    ("wrn_50_2", "wide_resnet50_2", {}),
    ("densenet_121", "densenet121", {}),
    ("DenseNet-121", "densenet121", {}),
    ("densenet_40_12", "cifar_densenet40_12", {}),
    ("DenseNet-BC-100-12", "cifar_densenet_bc100_12", {}),
    ("resnet20", "cifar_resnet20", {"shortcut": "pad_both"}),
    ("preact_resnet18", "resnet18_v2", {"stem": "imagenet"}),
    ("preact_resnet50", "resnet50_v2", {}),
    ("vgg_a", "vgg11", {}),
    ("vgg_16", "vgg16", {}),
    ("VGG19", "vgg19", {}),
    ("InceptionResNetV2", "inception_resnet_v2", {"bn_scale": False, "dropout": 0.0}),
    ("legacy_seresnet50", "seresnet50_v1", {}),
    ("gluon_resnet50_v1b", "resnet50", {}),
    ("resnet50_v1c", "resnet50", {"stem": "deep"}),
    ("cifar_resnet56_v1", "cifar_resnet56", {}),
    ("cifar_wideresnet40_8", "cifar_wrn40_8", {}),
    ("Inception-ResNet-v2", "inception_resnet_v2", {}),
    ("PreActResNet18", "resnet18_v2", {"stem": "cifar", "final_norm": False, "num_classes": 10}),
]


@pytest.mark.parametrize(("theirs", "ours", "fields"), NAMES)
def test_the_spec_has_our_name_and_their_form(theirs: str, ours: str, fields: dict[str, object]) -> None:
    with pytest.warns(Notice, match=f"is {ours}") as seen:
        spec = get_spec(theirs)
    assert len(seen) == 1
    assert seen[0].filename == __file__, "a warning points at the caller's line"
    assert spec.name == ours
    assert {key: getattr(spec, key) for key in fields} == fields


def test_every_row_of_the_table_is_tried_above() -> None:
    names = [theirs for theirs, _, _ in NAMES]
    assert [row.pattern for row in ALIASES if not any(re.fullmatch(row.pattern, name) for name in names)] == []


def test_no_name_of_ours_is_another_networks() -> None:
    """Ours go first: an alias of another network under the same name would never be found."""
    known = frozenset(list_models())
    equals = {name: equal_of(name, known) for name in known}
    assert {name: found for name, found in equals.items() if found and (found.name != name or found.edits)} == {}
    assert [name for name in known if nearest_of(name)] == []


def _twins() -> Iterator[tuple[str, str]]:
    for peer in ("timm", "keras", "slim"):
        yield from ((peer, ours) for ours in list_models() if peer_network_of(ours, peer))


@pytest.mark.filterwarnings("ignore::residua._base.errors.Notice")
@pytest.mark.parametrize(("peer", "ours"), _twins())
def test_peers_names_are_known_in_the_peers_form(peer: str, ours: str) -> None:
    """The table of twins is proved by logits; a name that the peer alone has gives the same spec."""
    network = peer_network_of(ours, peer)
    assert network is not None
    if network.name in list_models():
        return
    assert get_spec(network.name) == get_spec(ours, **network.edits)


@pytest.mark.parametrize(
    ("name", "nearest", "differs"),
    [
        ("resnet50d", "resnet50", "2×2 average pool before a 1×1 projection"),
        ("resnet18d", "resnet18", "average pool"),
        ("resnest50", "seresnet50", "split attention"),
        ("resnest50d", "seresnet50", "split attention"),
        ("efficientnet_b0", "seresnet50", "depthwise 3×3"),
        ("EfficientNetB0", "seresnet50", "depthwise 3×3"),
        ("mobilenet_v3_small", "resnet18", "depthwise 3×3"),
        ("MobileNetV2", "resnet18", "depthwise 3×3"),
        ("resnetv2_101x1_bit.goog_in21k", "resnet101_v2", "group normalisation"),
        ("inception_v1", "googlenet_bn", "3×3 convolutions in place of the 5×5"),
        ("Xception", "inception_v3", "depthwise separable"),
        ("convnext_tiny", "resnet50", "layer normalisation"),
        ("vit_base_patch16_224", "resnet50", "attention"),
        ("regnety_032", "resnext50_32x4d", "search"),
    ],
)
def test_what_has_no_equal_names_the_nearest(name: str, nearest: str, differs: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec(name)
    assert f"The nearest is {nearest}; {name} has " in str(caught.value)
    assert differs in str(caught.value)


def test_the_nearest_are_names_of_ours() -> None:
    assert {row.nearest.format(50) for row in NO_EQUALS} <= set(list_models())


@pytest.mark.parametrize(
    ("name", "near"),
    [
        (
            "resnet_v2_51",
            "which would be resnet51_v2_slim. Wanted: a name of the catalog. Did you mean resnet50_v2_slim",
        ),
        (
            "ResNet21v1",
            "network 'ResNet21v1', which would be cifar_resnet21_keras. Wanted: a depth of 6n+2, n >= 1. The nearest: "
            "cifar_resnet20_keras and cifar_resnet26_keras",
        ),
        ("wrn_27_10", "network 'wrn_27_10', which would be cifar_wrn27_10."),
        ("wrn_27_10", "cifar_wrn22_10 and cifar_wrn28_10"),
        ("resnet51.a1_in1k", "Did you mean resnet50"),
    ],
)
def test_an_illegal_number_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InputError, match="network") as caught:
        get_spec(name)
    assert near in str(caught.value)


@pytest.mark.filterwarnings("default::residua._base.errors.Notice")
def test_the_command_states_it_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "resnet_v2_50", "--json"]) == 0
    printed = capsys.readouterr()
    assert '"name": "resnet50_v2_slim"' in printed.out
    first = printed.err.splitlines()[0]
    assert first.startswith("resnet_v2_50 is resnet50_v2_slim here: a name in TF-slim")
    assert main(["models", "PreActResNet18", "--json"]) == 0
    # The catalog's counts are those of its own row.
    assert '"params": null' in capsys.readouterr().out
    assert main(["models", "resnet50d"]) == 2
    assert "The nearest is resnet50" in capsys.readouterr().err


def test_a_tag_of_weights_is_said_to_choose_no_network() -> None:
    with pytest.warns(Notice, match=r"its tag 'bogus' chooses weights, not the network, .* weights='timm:bogus'"):
        assert get_spec("resnet50.bogus") == get_spec("resnet50")


def test_create_model_takes_them() -> None:
    with pytest.warns(Notice):
        network = residua.create_model("PreActResNet18")
    # As kuangliu/pytorch-cifar's PreActResNet18 has them.
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_171_146


def test_slims_v1_networks_stride_in_the_last_unit() -> None:
    """Block 1 of resnet_v1.py ends at 28 × 28."""
    with pytest.warns(Notice, match="resnet50_v1 with pool_padding='same', stride_site='last_3x3'"):
        spec = get_spec("resnet_v1_50")
    by_name = {layer.name: layer for layer in inspect(spec).layers}
    assert by_name["layer1.1.conv2"].output[-1] == 56
    assert by_name["layer1.2.conv2"].output[-1] == 28


def test_inception_resnet_of_keras_has_no_gamma() -> None:
    """Keras's summary states 55,813,192 trainable parameters."""
    with pytest.warns(Notice, match="bn_scale=False"):
        spec = get_spec("InceptionResNetV2")
    assert inspect(spec).params == 55_813_192
