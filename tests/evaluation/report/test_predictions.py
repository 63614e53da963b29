"""A table of the answer to each image: in Python, as CSV and as parquet."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from evaluation.runs import COLOURS, colour_folder, colour_run, paint
from residua._base.errors import InputError
from residua.cli.app import main
from residua.evaluation.evaluate import evaluate
from residua.inference.predict import predict
from residua.weights.open import load


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and a folder without a class, in which a red image is called green."""
    folder = tmp_path_factory.mktemp("predictions")
    data = colour_folder(folder / "data", [("green", "red")], count=3)
    shutil.rmtree(data / "blue")
    paint(data / "red" / 'a "quoted", name.png', COLOURS["red"])
    return colour_run(folder / "run"), data


def test_the_table_agrees_with_the_report_and_with_predict(world: tuple[Path, Path]) -> None:
    run, data = world
    report = evaluate(run, data)
    table = report.predictions
    assert table is not None
    assert report.absent == ("blue",)
    assert len(table) == report.count == 8
    assert table.correct.mean() == report.top1
    assert table.loss.mean() == pytest.approx(report.loss)
    answers = predict(load(run), [data / path for path in table.paths], top=3)
    for at, answer in enumerate(answers):
        assert table.classes[table.predicted[at]] == answer.labels[0]
        by_name = dict(zip(answer.labels, answer.probabilities, strict=True))
        assert table.probabilities[at] == pytest.approx([by_name[name] for name in table.classes], abs=1e-6)
    assert np.allclose(table.probabilities.sum(axis=1), 1)
    assert "predictions" not in report.to_dict()


def test_csv_and_parquet_hold_the_same(world: tuple[Path, Path], tmp_path: Path) -> None:
    run, data = world
    assert main(["evaluate", str(run), str(data), "--predictions", str(tmp_path / "a.csv")]) == 0
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        *("path", "label", "predicted", "correct", "probability", "label_probability", "loss"),
        *("p(red)", "p(green)", "p(blue)"),
    ]
    (wrong,) = (row for row in rows if row["correct"] == "false")
    assert (wrong["path"], wrong["label"], wrong["predicted"]) == ("green/wrong0.png", "green", "red")
    assert float(wrong["label_probability"]) == float(wrong["p(green)"])
    assert 'red/a "quoted", name.png' in {row["path"] for row in rows}
    parquet = pytest.importorskip("pyarrow.parquet")
    table = evaluate(run, data).predictions
    assert table is not None
    read = parquet.read_table(table.write(tmp_path / "a.parquet")).to_pydict()
    assert read == table.columns()
    for row, probability in zip(rows, read["probability"], strict=True):
        assert float(row["probability"]) == probability


def test_other_endings_are_refused_before_the_pass(
    world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = world
    assert main(["evaluate", str(run), str(data), "--predictions", str(tmp_path / "a.txt")]) == 2
    assert "a file that ends in .csv or .parquet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    table = evaluate(run, data).predictions
    assert table is not None
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        table.write(tmp_path / "a.xlsx")
    assert json.dumps(table.columns())


@pytest.mark.parametrize("name", ["mine.csv", "mine.parquet"])
def test_a_table_of_others_is_kept(
    name: str, world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    mine = tmp_path / name
    mine.write_text("path,label\na.jpg,red\n")
    words = ["evaluate", *map(str, world), "--predictions", str(mine)]
    assert main(words) == 2
    assert "which holds something else" in capsys.readouterr().err
    assert mine.read_text() == "path,label\na.jpg,red\n"
    mine.unlink()
    assert main(words) == main(words) == 0, "predictions replace predictions"


def test_a_page_of_others_is_kept(world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    page.write_text("mine")
    words = ["evaluate", *map(str, world), "--report", str(tmp_path)]
    assert main(words) == 2
    assert "report.html, which holds something else" in capsys.readouterr().err
    assert page.read_text() == "mine"
    page.unlink()
    assert main(words) == main(words) == 0, "a report replaces a report"
    assert page.read_bytes().count(b'content="Residua"') == 1
