"""Every network of the catalog equals the published record, to the parameter and to the multiply-accumulate."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from residua.anatomy import cost
from residua.specs.catalog import counts, get_spec, list_models
from residua.specs.published import records

# No record exists for these: SE on He's CIFAR networks; their sum is derived in test_seresnet_adds_its_gates.
# Highway C's is rounded: test_highway_c_comes_near_its_published_size.
WITHOUT_RECORD = {*list_models("cifar_seresnet*"), "cifar_highway32"}
# The paper's pilot (Srivastava 2015, section 3.2): nine convolutions of one width, the first 5×5 over whole windows.
HIGHWAY_MNIST = {
    **{"depths": (2, 3, 3), "entry_kernels": (5, 0, 0), "entry_padding": "valid", "pools": (3, 3, 2)},
    **{"head_width": 0, "grid": 3, "dropouts": (0.2, 0.3, 0.4, 0.5), "transform_bias": -1.0},
    **{"in_channels": 1, "input_size": 28},
}

RECORDS = {reference: asdict(record) for reference, record in records().items()}


def _record(name: str) -> dict:
    return next(row for row in RECORDS.values() if row["name"] == name)


@pytest.mark.parametrize("name", [n for n in list_models() if n not in WITHOUT_RECORD])
def test_record(name: str) -> None:
    counted, record, spec = cost(get_spec(name)), _record(name), get_spec(name)
    assert (counted.params, counted.macs) == (record["params"], record["macs"])
    shape = (spec.in_channels, spec.input_size, spec.input_size)
    # The records of fully connected networks have the image flattened.
    assert record["input"] == ((math.prod(shape), 1, 1) if spec.family == "highway_mlp" else shape)
    assert spec.num_classes == record["num_classes"]
    assert counts(name) == (counted.params, counted.macs), "stale: run `make counts`"


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
    ],
)
def test_edited_rows_meet_other_records(name: str, edits: dict, reference: str) -> None:
    record, counted = RECORDS[reference], cost(get_spec(name, **edits))
    assert (counted.params, counted.macs) == (record["params"], record["macs"])


def test_seresnet_adds_its_gates() -> None:
    # Per unit of width c: 1×1 convolutions c -> c/16 and back, each with its bias.
    gates = sum(3 * (2 * c * (c // 16) + c + c // 16) for c in (16, 32, 64))
    assert cost(get_spec("cifar_seresnet20")).params - cost(get_spec("cifar_resnet20")).params == gates


def test_highway_c_comes_near_its_published_size() -> None:
    spec = get_spec("cifar_highway32")
    assert spec.depth == 32
    assert cost(spec).params == pytest.approx(1.25e6, rel=0.01)


def test_every_listed_network_has_a_committed_count() -> None:
    assert [name for name in list_models() if counts(name) is None] == []


def test_the_committed_records_are_the_references(shared: Path) -> None:
    found = json.loads((shared / "reference/architectures.json").read_text())["records"]
    keys = ("params", "macs", "input", "num_classes")
    measured = {r["reference"]: [r[key] for key in keys] for r in found if r["params"] is not None}
    ours = {reference: [row[key] for key in keys] for reference, row in RECORDS.items()}
    assert {reference: [*row[:2], list(row[2]), row[3]] for reference, row in ours.items()} == measured
    named = {r["reference"]: r["residua"] for r in found if r["residua"] and r["params"] is not None}
    assert {reference: RECORDS[reference]["name"] for reference in named} == named
