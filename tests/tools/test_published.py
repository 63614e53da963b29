"""Published accuracies: every row is of a network that we have, of no variant of it, or stands among the others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from published_results import SEEN, TARGET, convert, errors, views
from published_rules import EXCLUSIONS, PAPER, PEER, RULES, ensemble_of, form_of, network_of

from residua.specs.catalog import get_spec


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TARGET.read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def rows(reference_file: Callable[[str], Path]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(reference_file("reference/results.json").read_text("utf-8"))
    return found


def test_every_name_is_the_catalogs(document: dict[str, Any]) -> None:
    for name in {row["network"] for row in document["results"]}:
        assert get_spec(name).name == name


def test_every_error_is_one(document: dict[str, Any]) -> None:
    for row in document["results"]:
        assert 0 < row["value"] < 100
        assert row["metric"] in ("top-1 error", "top-5 error")
        assert row["kind"] in (PAPER, PEER)


def test_no_variant_is_mapped(document: dict[str, Any]) -> None:
    variant = (
        r"ensemble|option B\)|\(A\)|ResNet-\d+ [AC]$|gating|scaling|-layer skip|BN after|BN-after|[2-9] (CNNs|conv)"
    )
    for row in document["results"]:
        if row["source"].startswith("flukeskywalker/highway-resnet"):
            continue  # ResNet-110 (A): option A is what cifar_resnet110 has
        assert not re.search(variant, row["architecture"]), row
        assert not re.match(r"[2-9] model", row["protocol"]), row
        dropout = "dropout" in row["architecture"] + row["protocol"]
        assert not dropout or row["network"] == "cifar_nin", row
    for name in ("cifar_densenet40_12", "cifar_densenet_bc100_12", "cifar_wrn28_10"):
        assert getattr(get_spec(name), "dropout", 0.0) == 0.0, name


def test_what_is_left_out_has_its_reason(document: dict[str, Any]) -> None:
    reasons = {exclusion.why for exclusion in EXCLUSIONS} | {"no network of the catalog", "no figure"}
    assert {row["why"] for row in document["unmapped"]} == reasons


def test_the_books_balance(document: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    assert convert(rows) == document  # the committed file is what the tool makes
    seen = [row for row in rows if row["verified"] in SEEN]
    kept = [row for row in seen if not isinstance(_network(row), str) and errors(row["metric"], row["value"])]
    others = [row for row in seen if _other(row) and errors(row["metric"], row["value"])]
    assert not [row for row in others if row in kept]
    assert len(kept) + len(others) + len(document["unmapped"]) == len(seen) < len(rows)
    for key, group in (("results", kept), ("others", others)):
        measured = document[key] if key in document else [*document["forms"], *document["ensembles"]]
        assert len(measured) == sum(len(errors(row["metric"], row["value"])) for row in group)


def _other(row: dict[str, Any]) -> object:
    """Whether a row is of a network with fields edited, or of an ensemble."""
    return form_of(row["architecture"], row["source"]) or ensemble_of(row["architecture"], row["source"])


def test_every_rule_and_exclusion_is_of_use(rows: list[dict[str, Any]]) -> None:
    for rule in RULES:
        assert any(
            re.fullmatch(rule.architecture, row["architecture"]) and re.match(rule.source, row["source"])
            for row in rows
        ), rule


def _network(row: dict[str, Any]) -> tuple[str, str] | str:
    return network_of(row["architecture"], row["source"], row["dataset"], row["protocol"])


@pytest.mark.parametrize(
    ("architecture", "source", "dataset", "found"),
    [
        ("ResNet-50", "arXiv 1512.03385 Table 3", "ImageNet-1k val", ("resnet50_v1", PAPER)),
        ("ResNet-50 (v1.5)", "facebookarchive/fb.resnet.torch README", "ImageNet-1k val", ("resnet50", PEER)),
        ("ResNet-34 C", "arXiv 1512.03385 Table 3", "ImageNet-1k val", "no network of the catalog"),
        ("torchvision googlenet.IMAGENET1K_V1", "torchvision 0.29.2", "ImageNet-1k val", ("googlenet_bn", PEER)),
        (
            "ResNet-110 1x1 conv shortcut (all units)",
            "arXiv 1603.05027 Table 1",
            "CIFAR-10 test",
            "another shortcut or gate",
        ),
        ("Somebody's net", "arXiv 1512.03385 Table 3", "ImageNet-1k val", "no network of the catalog"),
    ],
)
def test_names(architecture: str, source: str, dataset: str, found: object) -> None:
    assert network_of(architecture, source, dataset, "single crop") == found


@pytest.mark.parametrize(
    ("metric", "value", "found"),
    [
        ("top-1/top-5 accuracy %", "76.13/92.862", {"top-1 error": 23.87, "top-5 error": 7.138}),
        ("top-1/top-5 error %", "40.7/18.2 (val)", {"top-1 error": 40.7, "top-5 error": 18.2}),
        ("top-1/top-5 error %", "37.5/16.0, test 16.1", {"top-1 error": 37.5, "top-5 error": 16.0}),
        ("accuracy %", 92.16, {"top-1 error": 7.84}),
        ("test error %", 8.75, {"top-1 error": 8.75}),
        ("top-5 error %", 9.15, {"top-5 error": 9.15}),
        ("test error %", ">60", {}),
        ("test error %", "fail", {}),
        ("accuracy %", None, {}),
    ],
)
def test_metrics(metric: str, value: object, found: dict[str, float]) -> None:
    assert errors(metric, value) == found


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="bits"):
        errors("bits", 1.0)


@pytest.mark.parametrize(
    ("protocol", "found"),
    [
        ("single center crop [224] from [256]", "single"),
        ("single 32x32 view, pad-4 crop + flip training", "single"),
        ("1 model(s), 1 crop(s)", "single"),
        ("1 model(s), 144 crop(s)", "144-crop"),
        ("10 patches averaged (224 crops from 256)", "10-crop"),
        ("12-crop 224/299", "12-crop"),
        ("single scale dense, train S=256, test Q=256", "dense"),
        ("single model, multi-scale dense (ResNets); as reported by others", "multi-scale"),
    ],
)
def test_views(protocol: str, found: str) -> None:
    assert views(protocol) == found
