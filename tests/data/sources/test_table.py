"""A folder and a table as a data set: where paths lead, which rows are refused, what stays together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.pictures import MakeFolder, picture
from data.sources.test_folders import refused
from residua.data.open import open_dataset, reopen


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder PHOTOS with 24 pictures, p00.jpg to p23.jpg, in no class folders."""
    folder = tmp_path / "PHOTOS"
    folder.mkdir()
    for number in range(24):
        picture(number).save(folder / f"p{number:02}.jpg")
    return folder


def written(path: Path, header: str, rows: list[str]) -> Path:
    """Write a table."""
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def rows(photos: Path, form: str = "{name}", *more: str) -> list[str]:
    """Return a row for each picture: its name in some form, and cat or dog in turn."""
    names = sorted(file.name for file in photos.iterdir() if file.suffix == ".jpg")
    return [
        ",".join([form.format(name=name, stem=name[:-4]), "cat" if number % 2 else "dog", *more])
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize("form", ["{name}", "{stem}", "./{name}"])
def test_paths_relative_to_the_data_with_and_without_endings(form: str, photos: Path) -> None:
    table = written(photos.parent / "labels.csv", "path,label", rows(photos, form))
    dataset = open_dataset(photos, labels=table)
    assert dataset.classes == ("cat", "dog")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 22, "val": 2}
    for split in dataset.splits.values():
        for index in range(len(split)):
            file = Path(split.where(index))
            assert file.parent == photos
            assert split.labels[index] == (0 if int(file.stem[1:]) % 2 else 1)
    assert any("path from column path" in note for note in dataset.notes)


def test_paths_relative_to_the_table(photos: Path) -> None:
    table = written(photos.parent / "labels.csv", "path,label", rows(photos, "PHOTOS/{name}"))
    dataset = open_dataset(photos, labels=table)
    assert dataset.splits["train"].where(0).startswith(str(photos))
    other = open_dataset(photos, labels=written(photos.parent / "other.csv", "path,label", rows(photos)))
    assert other.hash == dataset.hash


def test_a_table_beside_a_folder_of_images_as_competitions_have_it(photos: Path) -> None:
    photos.rename(photos.parent / "train")
    names = rows(photos.parent / "train", "{stem}")
    table = written(photos.parent / "train.csv", "id,breed", names)
    dataset = open_dataset(photos.parent, labels=table)
    assert len(dataset.splits["train"]) + len(dataset.splits["val"]) == 24
    assert any("relative to train" in note for note in dataset.notes)


def test_two_folders_with_the_same_names_are_refused(photos: Path) -> None:
    whole = photos.parent / "whole"
    for part in ("train", "test"):
        (whole / part).mkdir(parents=True)
        for file in photos.iterdir():
            (whole / part / file.name).write_bytes(file.read_bytes())
    table = written(photos.parent / "t.csv", "id,label", rows(photos))
    refused(whole, "whole/test and in", "alike", labels=table)
    assert len(open_dataset(whole / "train", labels=table, val_fraction=0).splits["train"]) == 24


def test_the_order_of_rows_changes_nothing(photos: Path) -> None:
    one = open_dataset(photos, labels=written(photos.parent / "a.csv", "path,label", rows(photos)))
    two = open_dataset(photos, labels=written(photos.parent / "b.csv", "path,label", rows(photos)[::-1]))
    assert one.hash == two.hash
    assert one.table.sha256 != two.table.sha256
    assert [one.splits["train"].where(i) for i in range(22)] == [two.splits["train"].where(i) for i in range(22)]


def test_the_same_images_in_folders_and_in_a_table_are_split_alike(make_folder: MakeFolder) -> None:
    folder = make_folder("photos", {"ants": 12, "bees": 9})
    lines = [f"{file.relative_to(folder)},{file.parent.name}" for file in folder.rglob("*.jpg")]
    table = written(folder.parent / "labels.csv", "path,label", lines)
    one, two = open_dataset(folder), open_dataset(folder, labels=table)
    for name in ("train", "val"):
        assert one.splits[name].images.files == two.splits[name].images.files
        assert np.array_equal(one.splits[name].labels, two.splits[name].labels)


def test_a_column_of_parts_is_followed(photos: Path) -> None:
    parts = ["Training"] * 16 + ["valid"] * 4 + ["TEST"] * 4
    lines = [f"{row},{part}" for row, part in zip(rows(photos), parts, strict=True)]
    dataset = open_dataset(photos, labels=written(photos.parent / "t.csv", "path,label,split", lines))
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 16, "val": 4, "test": 4}


def test_groups_stay_together_and_a_note_states_it(photos: Path) -> None:
    lines = [f"{row},{number // 3}" for number, row in enumerate(rows(photos))]
    table = written(photos.parent / "t.csv", "path,label,patient", lines)
    dataset = open_dataset(photos, labels=table, columns="group=patient", val_fraction=0.25)
    train, val = dataset.splits["train"], dataset.splits["val"]
    assert len(val) == 6
    assert not set(train.groups) & set(val.groups)
    assert any("whole groups" in note for note in dataset.notes)
    again = reopen(dataset.describe(full=True))
    assert again.splits["val"].images.files == val.images.files


@pytest.mark.parametrize(
    ("header", "change", "wanted"),
    [
        ("path,label", {3: "p99.jpg,cat"}, "row 5 (p99.jpg): no file"),
        ("path,label", {3: "p03.jpg,"}, "1 row has no label: row 5 (p03.jpg)"),
        ("path,label", {3: ",cat"}, "1 row names no image: row 5"),
        ("path,label", {3: "p03.jpg,cat", 4: "p03.jpg,cat;dog"}, "p03.jpg in row 5 (cat) and row 6 (cat;dog)"),
        (
            "path,label",
            {3: "p03.jpg,cat,dog"},
            "1 row has more or fewer values than there are columns: row 5 (3 for 2)",
        ),
        ("path,label", {3: "p02.jpg,cat"}, "p02.jpg in row 4 (dog) and row 5 (cat)"),
        ("path,label,split", {3: "p03.jpg,cat,later"}, "none of train, val and test: row 5 (later)"),
        ("path,label,group", {3: "p03.jpg,cat,"}, "1 row has no group: row 5"),
    ],
)
def test_rows_at_fault_are_named(header: str, change: dict[int, str], wanted: str, photos: Path) -> None:
    more = {2: (), 3: ("train",)}[len(header.split(","))]
    lines = rows(photos, "{name}", *more)
    for number, line in change.items():
        lines[number] = line
    refused(photos, wanted, labels=written(photos.parent / "t.csv", header, lines))


def test_all_faults_are_named_at_once(photos: Path) -> None:
    lines = rows(photos)
    lines[0], lines[1], lines[2] = "p00.jpg,", "p98.jpg,cat", ",cat"
    error = refused(photos, labels=written(photos.parent / "t.csv", "path,label", lines))
    assert [each in error.given for each in ("no label", "no file", "names no image")] == [True] * 3


def test_a_group_in_two_parts_is_refused(photos: Path) -> None:
    lines = [f"{row},{'test' if number > 19 else 'train'},g{number // 5}" for number, row in enumerate(rows(photos))]
    lines[21] = lines[21].replace("g4", "g0")
    table = written(photos.parent / "t.csv", "path,label,split,group", lines)
    refused(photos, "g0 in train (row 2) and test (row 23)", labels=table)


def test_a_row_without_its_file_is_skipped_on_request(photos: Path) -> None:
    lines = [*rows(photos), "gone.jpg,cat", "notes.txt,cat"]
    (photos / "notes.txt").write_text("x")
    table = written(photos.parent / "t.csv", "path,label", lines)
    refused(photos, "2 rows name no image", "notes.txt): no image by its ending", "on_bad='skip'", labels=table)
    dataset = open_dataset(photos, labels=table, on_bad="skip", val_fraction=0)
    assert len(dataset.splits["train"]) == 24
    assert any("2 rows name no image and were skipped" in note for note in dataset.notes)


def test_what_leaves_the_data_and_the_folder_of_the_table_is_said(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    picture(99).save(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "tables").mkdir()
    lines = [*rows(photos), "../elsewhere/x.png,cat"]
    dataset = open_dataset(photos, labels=written(tmp_path / "tables" / "t.csv", "path,label", lines))
    assert any("1 row names a file outside of the data" in note and note.endswith("row 26") for note in dataset.notes)
    inside = open_dataset(photos, labels=written(tmp_path / "t.csv", "path,label", rows(photos)))
    assert not any("outside" in note for note in inside.notes)


def test_images_without_a_row_are_counted(photos: Path) -> None:
    table = written(photos / "t.csv", "path,label", rows(photos)[:-2])
    notes = open_dataset(photos, labels=table).notes
    assert any("2 images of the data stand in no row and are left out: p22.jpg, p23.jpg" in note for note in notes)


def test_skipping_covers_no_bad_values(photos: Path) -> None:
    table = written(photos.parent / "t.csv", "path,label", [*rows(photos), "p00.jpg,", "gone.jpg,cat"])
    for on_bad in ("refuse", "skip"):
        refused(photos, "row 26", "on_bad='skip' leaves out rows that name no image, not", labels=table, on_bad=on_bad)


def test_a_bar_separates_no_labels_and_a_note_states_it(photos: Path) -> None:
    table = written(photos.parent / "t.csv", "path,label", [*rows(photos)[:-1], "p23.jpg,cat|dog"])
    dataset = open_dataset(photos, labels=table, val_fraction=0)
    assert "cat|dog" in dataset.classes
    assert "t.csv: 'cat|dog' is one label; ';' separates several, and '|' does not" in dataset.notes


def test_a_row_that_is_repeated_counts_once(photos: Path) -> None:
    lines = rows(photos)
    table = written(photos.parent / "t.csv", "path,label", [*lines, lines[0]])
    dataset = open_dataset(photos, labels=table, val_fraction=0)
    assert len(dataset.splits["train"]) == 24
    assert any("1 row repeats an earlier one" in note for note in dataset.notes)


def test_an_identifier_of_two_files_is_refused(photos: Path) -> None:
    picture(50).save(photos / "p00.png")
    table = written(photos.parent / "t.csv", "path,label", rows(photos, "{stem}"))
    refused(photos, "stands for p00.jpg and p00.png alike", labels=table)


def test_what_is_not_a_folder_or_not_without_labels_is_refused(photos: Path) -> None:
    table = written(photos / "t.csv", "path,label", rows(photos))
    refused(photos / "none", "does not exist", labels=table)
    refused(table, "is a file", labels=table)
    refused(table, "labels=")
    refused("digits", "which has labels", labels=table)
    refused(photos, f"Did you mean {table}", labels="t.csv")
    refused(photos, "no rows", labels=written(photos.parent / "e.csv", "path,label", []))
    refused(
        photos, "every training image is cat", labels=written(photos.parent / "c.csv", "path,label", ["p00.jpg,cat"])
    )


def test_others_read_no_place_on_this_machine(photos: Path) -> None:
    table = written(photos.parent / "t.csv", "path,label", rows(photos))
    dataset = open_dataset(photos, labels=table)
    assert dataset.describe(full=True)["table"]["file"] == str(table)
    public = dataset.describe()
    assert public["table"] == {
        "file": "t.csv",
        "sha256": dataset.table.sha256,
        "columns": {"path": "path", "label": "label"},
    }
    assert str(photos.parent) not in str(public)
