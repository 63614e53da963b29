"""`residua export`: exit codes, the table, one JSON document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporting.runs import digits_run
from residua.cli.app import main
from residua.exporting import gate
from residua.exporting.names import Limits


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(digits_run(tmp_path_factory.mktemp("cli") / "run"))


def test_export_prints_a_table_and_can_be_proven_again(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["export", run, "--format", "torch", "--out", out]) == 0
    shown = capsys.readouterr()
    assert "cifar_resnet8 of" in shown.out
    assert "7 of 7 batch normalisations folded" in shown.out
    assert "val of digits  1,2,7,32" in shown.out
    assert "The gate passes: 100.00% of the answers agree" in shown.out
    assert f"residua export --check {out}" in shown.err
    assert main(["export", "--check", out, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"]["answer"] == "passes"
    assert main(["export", run, "--check", out]) == 0
    assert "files as written" in capsys.readouterr().out
    with (tmp_path / "out" / "model.pt2").open("ab") as stream:
        stream.write(b"x")
    assert main(["export", "--check", out]) == 2
    assert "altered" in capsys.readouterr().err


def test_a_gate_that_fails_exits_with_1_and_the_table(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gate.LIMITS, "fp32", Limits(1.0, 0.0))
    words = ["export", run, "--format", "torch", "--out", str(tmp_path / "out"), "--golden-only"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "The gate FAILS: golden in batches of" in shown.out
    assert "Nothing was written." in shown.err
    assert main([*words, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["folder"], document["verdict"]["answer"]) == (None, "fails")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no RUN and no --format and no --out"),
        (["runs/a", "--format", "onnx"], "no --out"),
        (["--check", "nowhere"], "--check nowhere, which holds no certificate.json"),
        (["runs/a", "--format", "tflite", "--out", "x"], "--format"),
        (["runs/nowhere", "--format", "onnx", "--out", "x"], "runs/nowhere"),
    ],
)
def test_words_that_do_not_fit_are_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *words]) == 2
    assert message in capsys.readouterr().err
