"""`--engine` and `--precision`: the commands compute as they were asked to, and give the same answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.runs import COLOURS, colour_folder, colour_run, paint
from residua.cli.app import main
from residua.runtime.engines import auto, compiled, openvino

Output = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> str:
    data = colour_folder(tmp_path / "data", wrong=[("red", "blue")])
    return str(colour_run(tmp_path / "run", data=data))


def _document(words: list[str], capsys: Output) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_compiled_engine_answers_as_eager_does(
    run: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder, found = pytest.importorskip("torch._inductor.cpp_builder"), pytest.importorskip("torch._inductor.exc")
    try:
        builder.get_cpp_compiler()
    except found.InvalidCxxCompiler:
        pytest.skip("torch.compile needs a C++ compiler, and there is none")
    opened: list[str] = []
    opener = compiled.open_here

    def counted(*arguments: Any) -> Any:
        opened.append(arguments[1])
        return opener(*arguments)

    monkeypatch.setattr(compiled, "open_here", counted)
    torch.compiler.reset()
    other = str(colour_run(tmp_path / "other", data=tmp_path / "data"))
    files = [str(paint(tmp_path / f"{name}.png", colour)) for name, colour in COLOURS.items()]
    for words, part in ((["evaluate", run], "top1"), (["compare", run, other], "runs")):
        eager, ours = (_document([*words, "--device", "cpu", *more], capsys) for more in ([], ["--engine", "compiled"]))
        if part == "runs":
            eager, ours = ([row["top1"] for row in each["runs"]] for each in (eager, ours))
            assert ours == eager
        else:
            assert ours["top1"] == eager["top1"]
            assert ours["loss"] == pytest.approx(eager["loss"], rel=1e-4)
    answers = _document(["predict", run, *files, "--engine", "compiled", "--device", "cpu"], capsys)
    assert [answer["labels"] for answer in answers] == [[name] for name in COLOURS]
    # Once for both scorings and once for the answers: scores of equal weights and data are cached, by engine.
    assert opened == ["fp32"] * 2


def test_bf16_is_another_pass(run: str, capsys: Output) -> None:
    whole, half = (
        _document(["evaluate", run, "--device", "cpu", *more], capsys) for more in ([], ["--precision", "bf16"])
    )
    assert half["top1"] == whole["top1"]
    assert half["loss"] == pytest.approx(whole["loss"], abs=0.02)


@pytest.mark.parametrize("command", ["evaluate", "compare", "predict"])
def test_what_does_not_exist_is_refused(run: str, command: str, capsys: Output) -> None:
    for option, value, known in (("--engine", "turbo", "eager"), ("--precision", "fp16", "fp32")):
        assert main([command, run, run, option, value]) == 2
        error = capsys.readouterr().err
        assert option in error
        assert known in error


@pytest.mark.filterwarnings("always::UserWarning")
def test_auto_names_the_engine_and_scores_are_kept_under_its_name(
    run: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "CANDIDATES", ("openvino",))
    monkeypatch.setattr(auto, "_least", lambda engine, images: {"eager": 2.0, "openvino": 1.0}[engine.name])
    files = [str(paint(tmp_path / f"{name}.png", colour)) for name, colour in COLOURS.items()]
    code = main(["predict", run, *files, "--engine", "auto", "--device", "cpu", "--json"])
    assert code == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    assert [answer["labels"] for answer in json.loads(shown.out)] == [[name] for name in COLOURS]
    assert shown.err.count("Engine openvino: times eager's speed at batch 32, measured now: openvino 2.00") == 1
    chosen = _document(["evaluate", run, "--engine", "auto", "--device", "cpu"], capsys)
    eager = _document(["evaluate", run, "--device", "cpu"], capsys)
    assert chosen["loss"] == pytest.approx(eager["loss"], rel=1e-4)

    def refuse(*_: object) -> None:
        raise AssertionError("scores of this engine are cached")

    monkeypatch.setattr(openvino, "open_here", refuse)
    assert _document(["evaluate", run, "--engine", "openvino", "--device", "cpu"], capsys)["loss"] == chosen["loss"]
