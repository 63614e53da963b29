"""The lecture's rows of the list of what the articles name: one test a row, under its number."""

from __future__ import annotations

import json

import pytest

from residua.anatomy import inspect
from residua.anatomy.lecture import lecture_notes, lecture_table
from residua.cli.app import main


def test_row_086_alexnet_against_vgg16(capsys: pytest.CaptureFixture[str]) -> None:
    """Costs as columns with bars: the lecture's comparison."""
    assert main(["inspect", "alexnet", "vgg16", "--input", "3x224x224", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    costs = {row["cost"]: row["values"] for row in document["costs"]}
    assert document["names"] == ["alexnet", "vgg16"]
    assert costs["parameters"] == [61_100_840, 138_357_544]
    assert costs["MACs"] == [inspect("alexnet").macs, inspect("vgg16").macs]
    assert round(costs["MACs"][1] / costs["MACs"][0]) == 22
    assert [each["params"] for each in document["networks"]] == costs["parameters"]
    assert main(["inspect", "alexnet", "vgg16", "--table", "lecture"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    # The longest bar is 20 wide; the other is to the same scale.
    assert lines["MFLOP"].count("█") == 20
    assert lines["params"].count("█") == 28
    assert lines["params"].split()[2] == "61,101"


def test_row_087_googlenet_stem(capsys: pytest.CaptureFixture[str]) -> None:
    """The lecture prints 7.5 MB, 124 K and 418 MFLOP; its own rows add up to 481."""
    rows = lecture_table(inspect("googlenet"), until=28)
    sums = [round(sum(getattr(row, key) for row in rows)) for key in ("memory_kb", "params_k", "mflop")]
    assert sums == [7644, 124, 481]
    assert main(["inspect", "googlenet", "--table", "lecture", "--until", "28"]) == 0
    printed = capsys.readouterr().out
    (total,) = [line.split() for line in printed.splitlines() if line.startswith("until 28")]
    assert total == ["until", "28", "7,644", "124", "481"]
    assert "418 is 481 with two digits swapped" in printed
    assert main(["inspect", "googlenet", "--until", "28", "--by", "stage"]) == 0
    printed = capsys.readouterr().out
    assert "124,416 of 13,378,280" in printed
    assert "418 is 481 with two digits swapped" in printed


def test_row_088_vgg16_down_to_28(capsys: pytest.CaptureFixture[str]) -> None:
    """The lecture prints 42.9 MB, 1.1 M and 7,485 MFLOP: without the pools and one convolution of 256 maps."""
    rows = lecture_table(inspect("vgg16"), until=28)
    convolutions = [row for row in rows if row.filters]
    memory, params, mflop = (sum(getattr(row, key) for row in convolutions) for key in _COLUMNS)
    assert (round(memory / 1024, 1), round(params), round(mflop)) == (45.9, 1735, 9335)
    third = next(row for row in rows if row.layer == "conv3_3")
    assert round((memory - third.memory_kb) / 1024, 1) == 42.9
    assert round(mflop - third.mflop) == 7485
    assert (round(sum(row.memory_kb for row in rows) / 1024, 1), round(sum(row.mflop for row in rows))) == (51.3, 9341)
    assert main(["inspect", "vgg16", "--table", "lecture", "--until", "28"]) == 0
    printed = capsys.readouterr().out
    assert all(number in printed for number in ("45.9 MB", "1.74 M", "9,335", "42.9 MB", "1.1 M", "7,485"))


@pytest.mark.parametrize(
    ("name", "logits", "idle"),
    [
        ("googlenet", 1_025_000, 6_379_728),
        ("googlenet_bn", 1_025_000, 6_379_984),
        ("inception_v3", 2_049_000, 3_326_696),
    ],
)
def test_row_089_heads_that_do_not_run_have_their_row(name: str, logits: int, idle: int) -> None:
    """The classifier's row has its own weights alone; those of the auxiliary heads stand in a row "not run"."""
    found = inspect(name)
    *rows, last = lecture_table(found)
    assert rows[-1].layer.startswith("logits")
    assert round(1000 * rows[-1].params_k) == logits
    assert (last.layer, round(1000 * last.params_k), last.mflop, last.memory_kb) == ("not run", idle, 0, 0)
    assert sum(row.params_k for row in [*rows, last]) == pytest.approx(found.params / 1000)
    with_heads = lecture_table(inspect(name, training=True))
    assert "not run" not in [row.layer for row in with_heads]
    assert sum(row.params_k for row in with_heads) == pytest.approx(found.params / 1000)


def test_a_part_of_any_network(capsys: pytest.CaptureFixture[str]) -> None:
    """The subtotals of rows 87 and 88, by the name of a layer or by a resolution."""
    assert main(["inspect", "resnet18", "--until", "layer2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    stages = {stage.name: stage for stage in inspect("resnet18").stages}
    wanted = sum(stages[name].params for name in ("stem", "layer1", "layer2"))
    assert document["subtotal"]["params"] == wanted == sum(layer["params"] for layer in document["layers"])
    assert document["layers"][-1]["part"] == "layer2.1"
    assert main(["inspect", "resnet18", "--until", "14x14", "--json"]) == 0
    # With the normalisation and the activation behind the convolution that halves the resolution.
    assert json.loads(capsys.readouterr().out)["layers"][-1]["name"] == "layer3.0.relu"
    assert main(["inspect", "resnet18", "--until", "27"]) == 2
    assert "112×112, 56×56, 28×28, 14×14, 7×7" in capsys.readouterr().err
    assert list(lecture_notes(inspect("resnet18"))) == []


_COLUMNS = ("memory_kb", "params_k", "mflop")
