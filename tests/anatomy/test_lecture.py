"""The lecture's tables: every number that it prints, or the row that states why ours differs."""

from __future__ import annotations

import pytest

from residua.anatomy import inspect
from residua.anatomy.lecture import lecture_notes, lecture_table

# As printed in "CNN architectures", EECS 498: memory in KB, parameters in thousands, MFLOP.
ALEXNET = {
    "conv1": (784, 23, 73),
    "pool1": (182, 0, 0),
    "conv2": (547, 307, 224),
    "pool2": (127, 0, 0),
    "conv3": (254, 664, 112),
    "conv4": (169, 885, 145),
    "conv5": (169, 590, 100),
    "pool5": (36, 0, 0),
    "fc6": (16, 37_749, 38),
    "fc7": (16, 16_777, 17),
    "logits": (4, 4_096, 4),
}
DIFFERENT = {"conv4": (2, 150), "fc6": (1, 37_753), "fc7": (1, 16_781), "logits": (1, 4_097)}


def test_alexnet() -> None:
    rows = {row.layer: row for row in lecture_table(inspect("alexnet", (3, 227, 227)))}
    assert list(rows) == list(ALEXNET)
    for name, printed in ALEXNET.items():
        row = rows[name]
        ours = [round(value) for value in (row.memory_kb, row.params_k, row.mflop)]
        if name in DIFFERENT:
            column, exact = DIFFERENT[name]
            assert f"{printed[column]:,}" in row.note
            assert ours[column] == exact
            ours[column] = printed[column]
        else:
            assert not row.note
        assert tuple(ours) == printed
    first = rows["conv1"]
    assert (first.input_channels, first.input_size, first.filters) == (3, (227, 227), 64)
    assert (first.kernel, first.stride, first.padding) == ((11, 11), (4, 4), (2, 2))
    assert (first.output_channels, first.output_size) == (64, (56, 56))
    assert rows["fc6"].input_channels == 9216


def test_vgg16_totals_and_what_the_lecture_leaves_out() -> None:
    found = inspect("vgg16")
    rows = lecture_table(found)
    outputs = [row for row in rows if not row.layer.startswith("pool")]
    third = next(row for row in rows if row.layer == "conv3_3")
    memory = sum(row.memory_kb for row in outputs if row.layer.startswith("conv")) / 1024
    gflop = sum(row.mflop for row in outputs) / 1000
    assert (round(memory, 1), round(gflop, 2)) == (51.7, 15.47)
    assert (round(memory - third.memory_kb / 1024, 1), round(gflop - third.mflop / 1000, 2)) == (48.6, 13.62)
    assert round(sum(row.params_k for row in rows) / 1000) == 138
    note, part = lecture_notes(found)
    assert all(number in note for number in ("48.6", "13.62", "51.7", "15.47"))
    assert "down to 28×28" in part


def test_googlenet_stem() -> None:
    rows = lecture_table(inspect("googlenet"))[:5]
    printed = [(3136, 9, 118), (784, 0, 2), (784, 4, 13), (2352, 111, 347), (588, 0, 1)]
    assert [tuple(round(value) for value in (r.memory_kb, r.params_k, r.mflop)) for r in rows] == printed


def test_any_network_has_the_table() -> None:
    rows = lecture_table(inspect("resnet18"))
    assert sum(row.params_k for row in rows) == pytest.approx(11689.512)
    assert sum(row.mflop for row in rows if row.filters) == pytest.approx(1814.073344)
