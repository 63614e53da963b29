"""`residua inspect` and the errors of `inspect`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

import residua
from residua import InputError
from residua.cli.app import main


def test_the_table_and_its_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "resnet18", "--batch", "2"]) == 0
    printed = capsys.readouterr().out
    assert "layer1.0.conv1" in printed
    assert "11,689,512" in printed
    assert "1.814 G MACs = 3.628 G FLOPs" in printed
    assert main(["inspect", "resnet18", "--by", "stage"]) == 0
    stages = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in stages[2:8]] == ["stem", "layer1", "layer2", "layer3", "layer4", "logits"]


def test_json_is_the_library_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "cifar_resnet20", "--input", "3x40x48", "--batch", "4", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == residua.inspect("cifar_resnet20", (3, 40, 48), batch=4).to_dict()
    assert main(["inspect", "alexnet", "--table", "lecture", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["layer"] == "conv1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet5"], "resnet50"),
        (["resnet50", "--svg", "no/such/folder/a.svg"], "a folder that exists"),
        (["resnet50", "--svg", "a.png"], "Use a.svg"),
        (["resnet50", "--input", "3x0x0"], "1 to 65,535"),
        (["resnet50", "--input", "224"], "3x224x224"),
        (["resnet50", "--input", "3x-1x5"], "3x224x224"),
        (["resnet50", "--input", "3x1000000000x1000000000"], "3x224x224"),
        (["resnet50", "--input", "3x999999999x7"], "1 to 65,535"),
        (["resnet50", "--input", "1x224x224"], "--input 3x224x224"),
        (["alexnet", "--input", "3x30x30"], "--input 3x63x63"),
        (["vgg16", "--input", "3x31x64"], "--input 3x32x32"),
        (["resnet50", "--batch", "0"], "1 to 1,000,000"),
    ],
)
def test_errors_name_what_is_legal(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_errors_of_the_library() -> None:
    with pytest.raises(InputError, match="'sgd' or 'adam'"):
        residua.inspect("resnet18", optimizer="lion")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="channels, height and width"):
        residua.inspect("resnet18", (224, 224))
    with pytest.raises(InputError, match="without a spec"):
        residua.inspect(torch.nn.Identity())


def test_a_thousand_layers_in_a_moment() -> None:
    """The limit of 3 s for the whole command is held by what this process adds to the import of torch."""
    times = []
    for _ in range(3):
        start = time.process_time()
        residua.inspect("cifar_resnet1001_v2_bottleneck")
        times.append(time.process_time() - start)
    assert min(times) < 2


def test_a_run_is_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    residua.train("digits", model="cifar_resnet20", out=out, epochs=1, max_steps=2, progress=False, workers=0)
    assert main(["inspect", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"][-1]["output"] == [10]
