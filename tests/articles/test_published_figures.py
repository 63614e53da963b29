"""What the articles quote of papers, in the ledger with its source: one test a row, under its number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ledger_beyond import lines
from published_rules import TRANSFERS

from residua.specs.catalog import get_spec

DOCS = Path(__file__).parents[2] / "docs"
LEDGER = (DOCS / "ledger.md").read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DOCS / "results/published.json").read_text("utf-8"))
    return document


def _of(rows: list[dict[str, Any]], value: float) -> dict[str, Any]:
    (row,) = [row for row in rows if row["value"] == value]
    return row


def test_row_33_the_ensemble_of_ilsvrc_2015(published: dict[str, Any]) -> None:
    row = _of(published["ensembles"], 3.57)
    assert (row["metric"], row["source"]) == ("top-5 error", "arXiv 1512.03385 Table 5")
    # Six models, two with 152 layers.
    assert sum(row["members"].values()) + row["others"] == 6
    assert row["members"] == {"resnet152_v1": 2}
    assert any("| 3.57 |" in line and "2 × resnet152_v1, 4 more" in line for line in LEDGER)


def test_row_34_inceptions_ensemble(published: dict[str, Any]) -> None:
    row = _of(published["ensembles"], 3.08)
    assert row["members"] == {"inception_v4": 1, "inception_resnet_v2": 3}
    assert row["metric"] == "top-5 error"
    assert row["dataset"] == "ImageNet-1k test"
    assert any("| 3.08 |" in line and "inception_v4, 3 × inception_resnet_v2" in line for line in LEDGER)


def test_row_77_plain_against_residual(published: dict[str, Any]) -> None:
    """He 2015, table 2: four numbers, the ResNets with option A."""
    assert "| 18 | 27.94 | 27.88 |" in LEDGER
    assert "| 34 | 28.54 | 25.03 |" in LEDGER
    edits = [row["edits"] for row in published["forms"] if row["value"] in (27.88, 25.03)]
    assert {tuple(each.items()) for each in edits} == {(("shortcut", "pad"),)}
    # The four are networks of ours, equally deep and, with option A, equally large.
    for depth in (18, 34):
        plain, residual = get_spec(f"plain{depth}"), get_spec(f"resnet{depth}", shortcut="pad")
        assert plain.diff(residual).keys() == {"name", "shortcut"}


def test_row_78_detection_gains_28_percent() -> None:
    row = TRANSFERS[0]
    old, new = row.values
    assert (row.before, row.after, row.source) == ("vgg16", "resnet101_v1", "He 2015, table 8")
    assert round(100 * (new - old) / old) == 28
    assert any(line.startswith("| COCO val") and "| 21.2 | 27.2 | 6.0 | 28% |" in line for line in LEDGER)


def test_the_ledger_has_the_section(published: dict[str, Any]) -> None:
    section = lines(published)
    assert "\n".join(section) in "\n".join(LEDGER)
    for row in published["ensembles"]:
        for name in row["members"]:
            assert get_spec(name).name == name
