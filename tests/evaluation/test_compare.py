"""Comparison of runs: the numbers of `evaluate` side by side, every pair tested, and the commands that print it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.runs import COLOURS, colour_folder, colour_run
from residua._base.errors import InputError
from residua.cli.app import main
from residua.evaluation.compare import compare
from residua.evaluation.evaluate import evaluate
from residua.evaluation.measures.significance import holm, mcnemar
from residua.weights.open import load

WRONG = [("red", "blue"), ("green", "red"), ("green", "red")]
Output = pytest.CaptureFixture[str]


def colour_blind(
    folder: Path, missing: int, classes: tuple[str, ...] = tuple(COLOURS), data: Path | None = None
) -> Path:
    """A run that never sees one of the three channels."""
    run = load(colour_run(folder, classes, data=data))
    with torch.no_grad():
        run.model.state_dict()["fc.weight"][:, missing] = 0
    return run.save_pretrained(folder)


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    data = tmp_path / "data"
    for part in ("train", "val", "test"):
        colour_folder(data / part, WRONG, count=12)
    return [
        colour_run(tmp_path / "one", data=data),
        colour_blind(tmp_path / "two", 2, ("green", "red", "blue"), data),
        colour_blind(tmp_path / "three", 1, data=data),
    ]


def test_numbers_are_those_of_evaluate(runs: list[Path]) -> None:
    (runs[0] / "history.jsonl").write_text('{"epoch": 1, "seconds": 12.5}\n')
    found = compare(runs)
    assert (found.split, found.count, found.classes) == ("test", 39, tuple(COLOURS))
    for folder, row in zip(runs, found.runs, strict=True):
        report = evaluate(folder)
        for name in ("top1", "top1_interval", "top5"):
            assert getattr(row, name) == getattr(report, name)
        assert row.loss == pytest.approx(report.loss)
        assert row.ece == pytest.approx(report.calibration.ece)  # type: ignore[union-attr]
        assert (row.name, row.parameters) == (folder.name, report.model["parameters"])
        assert row.macs > 0
    assert [row.train_seconds for row in found.runs] == [12.5, None, None]
    assert [(pair.first, pair.second) for pair in found.differences] == [
        ("one", "two"), ("one", "three"), ("two", "three"),
    ]  # fmt: skip
    assert [pair.adjusted_p for pair in found.differences] == holm([pair.test.p for pair in found.differences])
    pair = found.differences[0]
    assert pair.test.difference == pytest.approx(found.runs[0].top1 - found.runs[1].top1)
    assert pair.test.method == "exact binomial"


def test_kept_scores_have_no_speed(runs: list[Path], capsys: Output) -> None:
    evaluate(runs[0])
    kept, new = compare(runs[:2]).runs
    assert kept.images_per_second is None
    assert new.images_per_second is not None
    assert 0 < new.images_per_second < 1e7
    assert main(["compare", *map(str, runs[:2])]) == 0
    printed = capsys.readouterr().out
    assert printed.count(" –\n") == 2
    assert "top-5" not in printed, "of three classes the true one is always among the first five"


def test_answers_are_matched_by_class_name(runs: list[Path], tmp_path: Path) -> None:
    same = colour_run(tmp_path / "same", ("blue", "red", "green"), data=tmp_path / "data")
    (pair,) = compare([runs[0], same]).differences
    right = np.arange(39) < round(39 * evaluate(runs[0]).top1)
    assert pair.test == mcnemar(right, right)


def test_other_data(runs: list[Path], tmp_path: Path) -> None:
    other = colour_folder(tmp_path / "other", count=2)
    found = compare(runs[:2], other)
    assert (found.count, found.split) == (6, "train")
    assert "trained on by one" in found.unchecked


def test_data_without_some_classes(runs: list[Path], tmp_path: Path) -> None:
    other = colour_folder(tmp_path / "other", count=2)
    shutil.rmtree(other / "green")
    found = compare(runs[:2], other)
    assert found.count == 4
    assert "without images here, and therefore not measured: green" in found.notes


def test_runs_that_cannot_be_compared(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two or more"):
        compare(runs[:1])
    with pytest.raises(InputError, match="twice"):
        compare([runs[0], runs[1], runs[0]])
    run = load(runs[1])
    renamed = replace(run, bundle=replace(run.bundle, classes=("a", "b", "c")))
    strange = renamed.save_pretrained(tmp_path / "strange")
    with pytest.raises(InputError, match="the data has blue, green, red, which the run does not know"):
        compare([runs[0], strange])
    more = colour_run(tmp_path / "more", (*COLOURS, "grey"))
    with pytest.raises(InputError, match="the run knows grey, which one does not have"):
        compare([runs[0], more])


def test_the_command(runs: list[Path], tmp_path: Path, capsys: Output) -> None:
    words = [str(run) for run in runs]
    assert main(["compare", *words]) == 0
    out, _ = capsys.readouterr()
    assert "one, two" in out
    assert "exact binomial" in out
    assert "These images were held out" in out
    other = str(colour_folder(tmp_path / "other", count=2))
    for given in ([*words, other], [*words, "--data", other]):
        assert main(["compare", *given, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["count"], len(document["runs"]), len(document["differences"])) == (6, 3, 3)
    for given, said in (
        ([words[0]], "two or more"),
        ([words[0], words[0]], "twice"),
        ([words[0], str(tmp_path / "nowhere")], "holds no model.safetensors"),
        ([*words, str(tmp_path / "nowhere")], "neither a folder"),
        ([*words, "--views", "11crop"], "Did you mean 10crop?"),
    ):
        assert main(["compare", *given]) == 2
        out, err = capsys.readouterr()
        assert (out, said in err, len(err.splitlines())) == ("", True, 1), err


def test_the_options_of_evaluate(runs: list[Path], tmp_path: Path, capsys: Output) -> None:
    one, two, three = map(str, runs)
    for options, said in (
        (["--views", "flip,10crop"], "views: flip,10crop"),
        (["--with", two, "--with", three, "--member-weights", "val"], "against the best member"),
        (["--with", two, "--select", "greedy"], "weights: greedy"),
        (["--calibrate"], "with temperature"),
        (["--reestimate-bn"], "7 layers re-estimated"),
        (["--no-cache"], "Brier"),
    ):
        assert main(["evaluate", one, *options, "--report", str(tmp_path / "report")]) == 0
        assert said in capsys.readouterr().out
        assert json.loads((tmp_path / "report" / "report.json").read_text())["brier"] > 0
    table = tmp_path / "t.csv"
    files = sorted((tmp_path / "data" / "test").rglob("*.png"))
    rows = [f"{file.relative_to(tmp_path / 'data').as_posix()},{len(file.name)}" for file in files]
    table.write_text("\n".join(["path,length", *rows]) + "\n")
    assert main(["evaluate", one, "--slices", str(table)]) == 0
    assert "length  6" in capsys.readouterr().out
    for options, said in (
        (["--views", "many"], "views 'many'"),
        (["--member-weights", "val"], "a single run"),
        (["--with", two, "--split", "val", "--member-weights", "val"], "to be evaluated as well"),
        (["--calibrate", "--views", "flip"], "two commands"),
        (["--slices", str(tmp_path / "nowhere.csv")], "cannot be read"),
        (["--with", str(tmp_path / "nowhere")], "holds no model.safetensors"),
    ):
        assert main(["evaluate", one, *options]) == 2
        out, err = capsys.readouterr()
        assert (out, said in err, len(err.splitlines())) == ("", True, 1), err
