"""What to label next: of unsure images first, in each of the forms that can be written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from evaluation.runs import COLOURS, colour_run, paint
from residua._base.errors import InputError
from residua.cli.app import main
from residua.labels import label_next as module
from residua.labels.label_next import label_next
from residua.weights.open import load
from residua.weights.run import Run

MIXED = {"purple": (130, 0, 128), "yellow": (120, 122, 0), "teal": (0, 90, 88)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load(colour_run(tmp_path_factory.mktemp("run") / "run"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in {**COLOURS, **MIXED}.items():
        for index in range(4):
            paint(folder / f"{name}{index}.png", tuple(min(255, value + index) for value in colour))  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize("by", ["badge", "kmeans", "margin"])
def test_the_unsure_come_first(by: str, run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = label_next(run, photos, count=3, by=by, batch_size=5)  # type: ignore[arg-type]
    assert chosen.images == 24
    kinds = {Path(each.path).stem[:-1] for each in chosen.suggestions}
    # BADGE draws by length and distance: a clear image may be among them.
    assert len(kinds & set(MIXED)) >= (2 if by == "badge" else 1)
    assert by == "badge" or kinds <= set(MIXED)
    assert by != "kmeans" or kinds == set(MIXED)
    assert all(each.suggested != each.second for each in chosen.suggestions)
    assert min(each.margin for each in chosen.suggestions) < 0.1 < chosen.mean_margin
    # Memory is bounded: of more images than it holds, the most unsure stay.
    monkeypatch.setattr(module, "MOST", 12)
    assert label_next(run, photos, count=3, by=by, batch_size=5).images == 24  # type: ignore[arg-type]


def test_what_cannot_be_chosen_from_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="no image decodes"):
        label_next(run, tmp_path)
    with pytest.raises(InputError, match="count=0"):
        label_next(run, tmp_path, count=0)
    with pytest.raises(InputError, match="by="):
        label_next(run, tmp_path, by="entropy")  # type: ignore[arg-type]


def test_the_command_and_its_forms(run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["label-next", str(run.folder), str(photos), "--count", "3"]
    assert main([*words, "--out", str(tmp_path / "next.csv"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader((tmp_path / "next.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == [each["path"] for each in document["suggestions"]]
    assert {row["label"] for row in rows} == {""}
    assert main([*words, "--out", str(tmp_path / "next.html")]) == 0
    assert "next" in capsys.readouterr().err
    html = (tmp_path / "next.html").read_text()
    assert html.count("data:image/png;base64,") == 3
    assert "<script" not in html
    assert main([*words, "--out", str(tmp_path / "copies")]) == 0
    names = sorted(path.name for path in (tmp_path / "copies").iterdir())
    assert names == sorted([*(f"{i:04}-{Path(row['path']).name}" for i, row in enumerate(rows, 1)), "labels.csv"])
    # What may hold labels is never written over.
    for name in ("next.csv", "copies"):
        assert main([*words, "--out", str(tmp_path / name)]) == 2
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert main([*words, str(tmp_path / "bad.png")]) == 1
    assert main(words[:2]) == 2
