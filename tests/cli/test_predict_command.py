"""`residua predict`: sources as they come, thresholds, and files sorted by class."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from evaluation.runs import COLOURS, colour_run, paint
from residua.cli.app import main
from residua.inference.sorting import Sorter
from residua.weights.prediction import Prediction

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_run(tmp_path_factory.mktemp("predict") / "run")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three colours in a folder, which is the working directory's."""
    for name, colour in COLOURS.items():
        paint(tmp_path / "photos" / f"{name}.png", colour)
    paint(tmp_path / "photos" / "dull.png", (128, 120, 120))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def _paths(out: str) -> list[str]:
    return [json.loads(line)["path"] for line in out.splitlines()]


def test_patterns_lists_and_standard_input(
    run: Path, photos: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("list.txt").write_text("photos/red.png\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"photos/blue.png\nphotos/green.png\n")))
    words = ["predict", str(run), "photos/r*.png", "@list.txt", "-", "photos/green.png", "--format", "jsonl"]
    assert main(words) == 0
    wanted = ["red", "red", "blue", "green", "green"]
    assert _paths(capsys.readouterr().out) == [f"photos/{name}.png" for name in wanted]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"photos/blue.png\n")))
    assert main(["predict", str(run), "-", "--out", "answers.csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(Path("answers.csv").read_text()))
    assert row["path"] == "photos/blue.png"


def test_addresses_are_not_asked_by_themselves(run: Path, photos: Path, capsys: Output) -> None:
    assert main(["predict", str(run), "photos/red.png", "http://127.0.0.1:1/a.png"]) == 1
    assert "http://127.0.0.1:1/a.png: an address; give --allow-urls" in capsys.readouterr().err
    assert main(["predict", str(run), "http://127.0.0.1:1/a.png", "--allow-urls"]) == 2
    assert "its host 127.0.0.1 is no public one" in capsys.readouterr().err


def test_a_threshold_makes_answers_unsure(run: Path, photos: Path, capsys: Output) -> None:
    words = ["predict", str(run), "photos/dull.png", "photos/red.png", "--threshold", "0.6"]
    assert main(words) == 0
    dull, red = capsys.readouterr().out.splitlines()
    assert dull.startswith("photos/dull.png  unsure  (rather red ")
    assert red.startswith("photos/red.png  red ")
    assert main([*words, "--json"]) == 0
    assert [row["unsure"] for row in json.loads(capsys.readouterr().out)] == [True, False]
    assert main([*words, "--format", "csv"]) == 0
    assert [row["unsure"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == ["true", "false"]


def test_files_are_sorted_and_put_back(run: Path, photos: Path, capsys: Output) -> None:
    before = sorted(path.name for path in photos.iterdir())
    words = ["predict", str(run), "photos", "--sort-into", "sorted", "--sort", "move", "--threshold", "0.6"]
    assert main(words) == 0
    assert "Sorted: 4 files into sorted. Undo with: residua undo-sort sorted/sorted-1.jsonl" in capsys.readouterr().err
    assert sorted(path.relative_to("sorted").as_posix() for path in Path("sorted").rglob("*.png")) == [
        "blue/blue.png",
        "green/green.png",
        "red/red.png",
        "unsure/dull.png",
    ]
    assert not list(photos.iterdir())
    paint(photos / "red.png", COLOURS["blue"])
    assert main(["undo-sort", "sorted/sorted-1.jsonl", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["undone"] == 3
    assert document["kept"][0][1] == f"a file stands at {photos / 'red.png'}"
    (photos / "red.png").unlink()
    assert main(["undo-sort", "sorted/sorted-1.jsonl"]) == 0
    assert sorted(path.name for path in photos.iterdir()) == before
    assert not Path("sorted").exists()


def test_a_sort_that_is_broken_off_names_its_log(
    run: Path, photos: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Sorter.put

    def once(sorter: Sorter, answer: Prediction) -> Path:
        if sorter.count:
            raise KeyboardInterrupt
        return put(sorter, answer)

    monkeypatch.setattr(Sorter, "put", once)
    assert main(["predict", str(run), "photos", "--sort-into", "sorted"]) == 130
    assert "Sorted: 1 file into sorted. Undo with: residua undo-sort sorted/sorted-1.jsonl" in capsys.readouterr().err
    assert main(["undo-sort", "sorted/sorted-1.jsonl"]) == 0
    assert not Path("sorted").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threshold", "2"], "Given: --threshold 2"),
        (["--sort", "move"], "Given: --sort move without --sort-into FOLDER"),
        (["--threshold", "0.5", "--out", "a.csv"], "--threshold 0.5 with --out a.csv"),
        (["--sort-into", "photos/sorted"], "which stands in photos, a folder to sort"),
        (["--sort-into", "photos/red.png"], "which is a file"),
        (["@nowhere.txt"], "@nowhere.txt, a list that cannot be read"),
    ],
)
def test_what_is_refused_before_any_work(run: Path, photos: Path, capsys: Output, words: list[str], said: str) -> None:
    assert main(["predict", str(run), "photos", *words]) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in photos.iterdir()) == ["blue.png", "dull.png", "green.png", "red.png"]
