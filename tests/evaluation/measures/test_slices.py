"""Slices: counted by every value of a table, which is refused when it does not fit the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.runs import colour_folder, colour_run
from residua._base.errors import InputError
from residua.data.open import open_dataset
from residua.evaluation.evaluate import evaluate
from residua.evaluation.measures.metrics import tally_of, wilson
from residua.evaluation.measures.slices import MOST, Table, read_table, slices
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.write import save_bundle

WRONG = [("red", "blue"), ("green", "red")]


def table(path: Path, data: Path, lines: list[str] | None = None) -> Path:
    """Say of each picture from which camera it is, and its size; of the last nothing."""
    rows = ["path,camera,size"]
    names = sorted(file.relative_to(data).as_posix() for file in data.rglob("*.png"))
    for name in names[:-1]:
        rows.append(f"{name},{'old' if 'wrong' in name else 'new'},{10 if 'red' in name else 9}")
    path.write_text("\n".join(lines if lines is not None else rows) + "\n")
    return path


def test_every_value_of_every_column(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", WRONG, count=4)
    report = evaluate(run, data, slices=table(tmp_path / "t.csv", data))
    found = {(row.column, row.value): row for row in report.slices}
    assert list(found) == [("camera", "new"), ("camera", "old"), ("size", "9"), ("size", "10")]
    old = found["camera", "old"]
    # red/wrong0.png is the last of all by name, and has no row.
    assert (old.count, old.top1, old.top1_interval) == (1, 0, wilson(0, 1))
    assert (found["camera", "new"].count, found["camera", "new"].top1) == (12, 1)
    assert old.loss > found["camera", "new"].loss
    assert sum(found["size", value].count for value in ("9", "10")) == 13
    assert any("1 of these images has no row" in note for note in report.remarks)
    assert report.to_dict()["slices"][1]["top1_interval"] == list(wilson(0, 1))


def test_a_column_that_names_images_is_left_out(tmp_path: Path) -> None:
    count = 2 * MOST
    random = np.random.default_rng(0)
    logits, labels = torch.from_numpy(random.normal(size=(count, 3))), torch.from_numpy(random.integers(0, 3, count))
    outcome = tally_of(logits, labels).outcome()
    keys: list[str | None] = [str(index) for index in range(count)]
    rows = {str(index): (f"10:{index}", str(index % MOST)) for index in range(count)}
    found, notes = slices(Table(tmp_path / "t.csv", ("time", "kind"), rows), keys, outcome)
    assert notes == ("column 'time' of t.csv has 2,000 values, more than 1,000: no slices",)
    assert [row.value for row in found] == [str(kind) for kind in range(MOST)]
    row = found[7]
    chosen = np.arange(count) % MOST == 7
    assert (row.column, row.count) == ("kind", 2)
    assert row.top1 == outcome.correct[chosen].mean()
    assert row.loss == pytest.approx(outcome.loss[chosen].mean(), abs=1e-12)


def test_relative_data_and_a_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        colour_folder(tmp_path / "data" / part, WRONG, count=2)
    run = colour_run(tmp_path / "run", data=tmp_path / "data")
    path = table(tmp_path / "t.csv", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    for data in (None, "data", "./data"):
        assert [row.count for row in evaluate(run, data, slices=path).slices if row.column == "camera"] == [6, 2]


def test_images_without_files_are_named_by_their_place(tmp_path: Path) -> None:
    spec = get_spec("cifar_resnet8", num_classes=10, input_size=8)
    save_bundle(
        tmp_path / "run",
        tensors=build(spec).state_dict(),
        spec=spec,
        classes=tuple("0123456789"),
        preprocess=PreprocessSpec(8, 8),
        metrics={},
        data=open_dataset("digits").describe(),
    )
    path = table(tmp_path / "t.csv", tmp_path, ["path,kind", *(f"test[{i}],{i % 2}" for i in range(359))])
    assert [row.count for row in evaluate(tmp_path / "run", slices=path).slices] == [180, 179]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["path,a", "red/00.png,1", "red/nowhere.png,1"], "1 path that is not in the data: red/nowhere.png; 5 of"),
        (["file,a", "red/00.png,1"], "columns file, a"),
        (["path", "red/00.png"], "a column 'path'"),
        (["path,a,a", "red/00.png,1,2"], "its own name"),
        (["path,a", "red/00.png,1,2"], "line 2 has 3 values for 2 columns"),
        (["path,a", "red/00.png,1", "red/00.png,2"], "line 3 names red/00.png again"),
        (["path,a"], "no row"),
        ([], "nothing"),
        (["path,a", 'red/00.png,"open'], "line 2: unexpected end of data"),
        (["path,a", f"red/00.png,{'x' * 201}"], "line 2 has a value of more than 200 characters"),
        ([f"path,{'x' * 201}", "red/00.png,1"], "a column's name has more than 200 characters"),
        (["path,a", "red/00.png,x\0y"], "line 2 holds a null character"),
        (["path,a", f'red/00.png,"{"x" * 200_000}"'], "field larger than field limit"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, lines: list[str], said: str) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", count=2)
    with pytest.raises(InputError) as caught:
        evaluate(run, data, slices=table(tmp_path / "t.csv", data, lines))
    assert said in str(caught.value)


def test_tables_as_spreadsheets_write_them_and_blanks_that_are_said(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", count=2)
    lines = ["path;who", "red/00.png;Ann, me", "red/01.png; "]
    report = evaluate(run, data, slices=table(tmp_path / "t.csv", data, lines))
    assert [(each.column, each.value, each.count) for each in report.slices] == [("who", "Ann, me", 1)]
    assert any("1 of these images has no value in column 'who'" in remark for remark in report.remarks)
    with pytest.raises(InputError, match="slices 5"):
        evaluate(run, data, slices=5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="twice"):
        evaluate(run, data, members=[run])


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes("path,ä\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_table(tmp_path / "latin.csv")
