"""Every network of the catalog equals the published record, to the parameter and to the multiply-accumulate."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, astuple
from pathlib import Path

import pytest
import torch
from torch import nn

from laws.representatives import LARGEST
from residua.anatomy import cost
from residua.families.build import build
from residua.specs.catalog import counts, get_spec, list_models
from residua.specs.published import records

# No record exists for these: SE on He's CIFAR networks, whose sum is derived in test_seresnet_adds_its_gates, and the
# 32-layer highway network, of which the paper gives about 1.25 M parameters and no table of layers.
WITHOUT_RECORD = {*list_models("cifar_seresnet*"), "cifar_highway32"}
# Their records count the graph that training runs, auxiliary classifiers included; the catalog shows evaluation's.
TRAINING_GRAPH = {"googlenet"}
# The paper's pilot (Srivastava 2015, section 3.2): nine convolutions of one width, the first 5×5 over whole windows.
HIGHWAY_MNIST = {
    "depths": (2, 3, 3),
    "entry_kernels": (5, 0, 0),
    "entry_padding": "valid",
    "pools": (3, 3, 2),
    "head_width": 0,
    "grid": 3,
    "dropouts": (0.2, 0.3, 0.4, 0.5),
    "transform_bias": -1.0,
    "in_channels": 1,
    "input_size": 28,
}
# Inception-ResNet-v2 as Szegedy 2016, figures 15 to 19, draws it; slim's network, timm's and Keras's is another.
PAPERS_INCEPTION_RESNET = {
    "depths": (5, 10, 5),
    "stem": "v4",
    "last_width": 0,
    "last_scale": 0.2,
    "last_relu": True,
}

RECORDS = {reference: asdict(record) for reference, record in records().items()}


def _record(name: str) -> dict:
    return next(row for row in RECORDS.values() if row["name"] == name)


@pytest.mark.parametrize("name", [n for n in list_models() if n not in WITHOUT_RECORD])
def test_record(name: str) -> None:
    record, spec = _record(name), get_spec(name)
    # tests/anatomy/test_books.py goes through every network but the largest and finds what is committed.
    params, macs = astuple(cost(spec)) if name in LARGEST else counts(name) or (None, None)
    trained = cost(spec, training=True).macs if name in TRAINING_GRAPH else macs
    assert (params, trained) == (record["params"], record["macs"])
    # Highway networks read their pixels in one row: 784 inputs are 28 × 28.
    assert spec.in_channels * spec.input_size**2 == math.prod(record["input"])
    assert spec.family == "highway_mlp" or (spec.in_channels, spec.input_size, spec.input_size) == record["input"]
    assert spec.num_classes == record["num_classes"]


# Pre-activated networks for CIFAR as widely copied code has them: without the last BN and ReLU.
_WIDELY_COPIED = {"stem": "cifar", "final_norm": False, "num_classes": 10, "input_size": 32}


@pytest.mark.parametrize(
    ("name", "edits", "reference"),
    [
        ("resnet18", {"shortcut": "pad"}, "resnet18_A"),
        ("resnet34", {"shortcut": "pad"}, "resnet34_A"),
        ("resnet34", {"shortcut": "projection_all"}, "resnet34_C"),
        ("resnet50_v1", {"bias": ("stem",), "pool_padding": "same"}, "resnet50_v1_caffe"),
        ("resnet50", {"stride_site": "last_3x3", "shortcut": "max_pool", "head": "conv"}, "resnet50_v1_slim"),
        ("resnet50_v1", {"bias": ("stem", "inner", "last", "projection")}, "resnet50_v1_keras"),
        (
            "resnet50_v2",
            {"stride_site": "last_3x3", "shortcut": "max_pool", "bias": ("stem", "last", "projection")},
            "resnetv2_50_slim",
        ),
        ("resnet200_v2", {"stem_norm": True}, "resnetv2_200_fb"),
        ("cifar_resnet20", {"shortcut": "projection"}, "cifar_resnet20_B"),
        ("cifar_resnet110_v2", {"shortcut": "projection"}, "cifar_preresnet110_basic_B"),
        ("cifar_resnet164_v2_bottleneck", {"activation": "post"}, "cifar_resnet164_bottleneck_orig"),
        ("cifar_wrn28_10", {"num_classes": 100}, "wrn_28_10_c100"),
        ("resnext101_64x4d", {"cardinality": 32}, "resnext101_32x4d"),
        ("seresnet50", {"cardinality": 32, "base_width": 4}, "se_resnext50_32x4d"),
        ("alexnet_2012", {"groups": (1,) * 5}, "alexnet_ungrouped_96"),
        ("cifar_nin", {"num_classes": 100}, "nin_cifar100"),
        ("cifar_nin", {"pools": ("max", "avg")}, "nin_cifar10"),
        ("cifar_highway19", {"num_classes": 100}, "highway_cifar100_19"),
        ("cifar_highway19", HIGHWAY_MNIST | {"widths": (32,) * 3}, "highway_mnist_10_w32"),
        ("cifar_highway19", HIGHWAY_MNIST | {"widths": (16,) * 3}, "highway_mnist_10_w16"),
        *((f"highway_mlp{d}", {"gates": False, "width": 71}, f"plain_fc_{d}") for d in (10, 20, 50, 100)),
        ("resnet50_v2_slim", {"num_classes": 1001}, "resnetv2_50_slim_1001"),
        ("resnet200_v2_slim", {"num_classes": 1001}, "resnetv2_200_slim_1001"),
        ("resnet101_v1", {"pool_padding": "ceil"}, "resnet101_v1_caffe"),
        ("resnet18_v2", _WIDELY_COPIED, "kuangliu_PreActResNet18"),
        ("resnet50_v2", _WIDELY_COPIED, "kuangliu_PreActResNet50"),
        ("googlenet", {"aux_heads": False}, "googlenet_caffe"),
        ("googlenet_bn", {"aux_heads": False}, "googlenet_torchvision"),
        ("googlenet_bn", {"aux_heads": False, "branch3_kernel": 5}, "googlenet_5x5_bn"),
        ("inception_v3", {"aux_heads": False}, "inception_v3"),
        ("inception_v3", {"aux_heads": False, "bn_scale": False}, "inception_v3_keras"),
        ("inception_resnet_v2", {"bn_scale": False}, "inception_resnet_v2_keras"),
        ("inception_resnet_v2", PAPERS_INCEPTION_RESNET, "inception_resnet_v2_paper_schema"),
        *(
            (f"cifar_densenet_bc{form}", {"num_classes": 100}, f"densenet_bc_{form}_cifar100")
            for form in ("100_12", "250_24", "190_40")
        ),
    ],
)
def test_edited_rows_meet_other_records(name: str, edits: dict, reference: str) -> None:
    record, counted = RECORDS[reference], cost(get_spec(name, **edits))
    assert (counted.params, counted.macs) == (record["params"], record["macs"])


@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v2"])
def test_slims_released_inceptions(name: str) -> None:
    """1001 classes, no gamma, and the auxiliary head, whose work the record counts."""
    record = RECORDS[f"{name}_slim_1001_aux"]
    counted = cost(get_spec(name, aux_heads=True, bn_scale=False, num_classes=1001), training=True)
    assert (counted.params, counted.macs) == (record["params"], record["macs"])


@pytest.mark.parametrize(("form", "params"), [("40_12", 1059298), ("100_12", 7083538), ("100_24", 28071706)])
def test_the_later_code_of_densenets_authors_has_a_wider_stem(form: str, params: int) -> None:
    """Their plain networks begin with 2k channels where the paper has 16 (note of the reference's records)."""
    growth = int(form.split("_")[1])
    assert cost(get_spec(f"cifar_densenet{form}", stem_width=2 * growth)).params == params


def test_inception_v4_without_gamma() -> None:
    """slim's, with 1000 classes and no auxiliary head, as the record of inception_v4 notes."""
    assert cost(get_spec("inception_v4", bn_scale=False)).params == 42648232


def test_the_papers_count_of_resnet1001_leaves_bn_out() -> None:
    """He 2016 prints 10.2 M: the exact count without the affine parameters of its norms."""
    with torch.device("meta"):
        network = build(get_spec("cifar_resnet1001_v2_bottleneck"))
    affine = sum(p.numel() for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    whole = sum(p.numel() for p in network.parameters())
    assert (whole, whole - affine) == (10327706, 10178490)


@pytest.mark.parametrize(("depth", "biases"), [(50, 64), (101, 0), (152, 0)])
def test_only_caffes_resnet50_has_a_bias_in_its_stem(depth: int, biases: int) -> None:
    published = RECORDS[f"resnet{depth}_v1_caffe"]["params"]
    assert published - cost(get_spec(f"resnet{depth}_v1")).params == biases


@pytest.mark.parametrize("depth", [11, 20, 164])
def test_keras_wider_units_cost_2_5_to_3_times_hes(depth: int) -> None:
    keras, he = (cost(get_spec(f"cifar_resnet{depth}_v2_{kind}")).params for kind in ("keras", "bottleneck"))
    assert 2.3 < keras / he < 3


@pytest.mark.parametrize(("name", "macs"), [("googlenet_bn", 1506748416), ("inception_v3", 5718899296)])
def test_training_graph_counts_auxiliary_heads(name: str, macs: int) -> None:
    """The figures stand in the notes of the records googlenet_torchvision_aux and inception_v3_aux."""
    assert cost(get_spec(name), training=True).macs == macs
    without = get_spec(name, aux_heads=False)
    assert cost(without, training=True) == cost(without)


def test_seresnet_adds_its_gates() -> None:
    # Per unit of width c: 1×1 convolutions c -> c/16 and back, each with its bias.
    gates = sum(3 * (2 * c * (c // 16) + c + c // 16) for c in (16, 32, 64))
    assert cost(get_spec("cifar_seresnet20")).params - cost(get_spec("cifar_resnet20")).params == gates


def test_the_thin_highway_network_is_near_its_paper() -> None:
    assert get_spec("cifar_highway32").depth == 32
    assert cost(get_spec("cifar_highway32")).params == pytest.approx(1.25e6, rel=0.01)


def test_every_listed_network_has_a_committed_count() -> None:
    assert [name for name in list_models() if counts(name) is None] == []


def test_the_committed_records_are_the_references(reference_file: Callable[[str], Path]) -> None:
    found = json.loads(reference_file("reference/architectures.json").read_text())["records"]
    keys = ("params", "macs", "input", "num_classes")
    measured = {r["reference"]: [r[key] for key in keys] for r in found if r["params"] is not None}
    # The PyTorch article's two networks: counts of the article's own code, which the references do not list.
    added = {"resnet18_plainstem", "resnet34_plainstem"}
    assert added.isdisjoint(measured)
    ours = {reference: [row[key] for key in keys] for reference, row in RECORDS.items() if reference not in added}
    assert {reference: [*row[:2], list(row[2]), row[3]] for reference, row in ours.items()} == measured
    named = {r["reference"]: r["residua"] for r in found if r["residua"] and r["params"] is not None}
    assert {reference: RECORDS[reference]["name"] for reference in named} == named
