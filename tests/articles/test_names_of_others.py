"""The articles' own names of their networks: one test a row, under its number."""

from __future__ import annotations

import json

import pytest

from residua.cli.app import main
from residua.specs.catalog import get_spec

# Said once per process: each test sees its own.
pytestmark = pytest.mark.filterwarnings("default::residua._base.errors.Notice")


@pytest.mark.parametrize("depth", [50, 101, 152, 200])
def test_row_20_slims_names(depth: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", f"resnet_v2_{depth}", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["name"] == f"resnet{depth}_v2_slim"
    assert printed.err.startswith(f"resnet_v2_{depth} is resnet{depth}_v2_slim here: a name in TF-slim")
    assert get_spec(f"resnet_v2_{depth}") == get_spec(f"resnet{depth}_v2_slim")


@pytest.mark.parametrize(
    ("theirs", "ours"), [("ResNet20v1", "cifar_resnet20_keras"), ("ResNet29v2", "cifar_resnet29_v2_keras")]
)
def test_row_56_the_keras_examples_names(theirs: str, ours: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", theirs, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["name"] == ours
    assert printed.err.startswith(f"{theirs} is {ours} here: the name that Keras's CIFAR-10 example gives")
    assert get_spec(theirs) == get_spec(ours)
