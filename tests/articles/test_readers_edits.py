"""A reader edits networks from the command line (row 107)."""

from __future__ import annotations

import json

import pytest

import residua
from residua.cli.app import main
from residua.specs.catalog import get_spec


def test_row_107_edits_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "resnet18", "--set", "shortcut=none", "--set", "depths=3,4,6,3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"shortcut": ["projection", "none"], "depths": [[2, 2, 2, 2], [3, 4, 6, 3]]}
    assert main(["diff", "plain34", "resnet18", "--set", "shortcut=none,depths=3,4,6,3,name=plain34"]) == 0
    assert "same network" in capsys.readouterr().out
    assert main(["diff", "resnet18"]) == 2
    assert "--set shortcut=none" in capsys.readouterr().err
    assert main(["inspect", "resnet18", "--set", "shortcut=none,depths=3,4,6,3", "--json"]) == 0
    edited = json.loads(capsys.readouterr().out)
    assert edited["params"] == residua.inspect("plain34").params
    assert main(["verify", "resnet50", "--set", "stride_site=first_1x1", "--peer", "none", "--json"]) == 1
    network = json.loads(capsys.readouterr().out)["networks"][0]
    assert network["counts"]["macs"] == residua.inspect("resnet50_v1").macs
    words = ["bench", "cifar_resnet8", "--batches", "1", "--warm-up", "0", "--batch", "1", "--json", "--set"]
    assert main([*words, "depths=1,1,2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["results"][0]["flops"] == 2 * residua.inspect(get_spec("cifar_resnet8", depths=(1, 1, 2))).macs
    assert document["notes"] == ["Networks edited: depths=1,1,2"]
    assert main([*words, "depths=1,1,2", "--peer", "timm"]) == 2
