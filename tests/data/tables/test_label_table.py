"""Columns are named, or recognised by usual names; what is not certain is refused."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError
from residua.data.tables.label_table import LabelTable, label_table, settle_columns


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (("path", "label"), {"path": "path", "label": "label"}),
        (("image_id", "label"), {"path": "image_id", "label": "label"}),
        (("id", "breed"), {"path": "id", "label": "breed"}),
        (("Id", "filename", "Class", "x"), {"path": "filename", "label": "Class"}),
        (
            ("label", "group", "split", "path"),
            {"path": "path", "label": "label", "split": "split", "group": "group"},
        ),
    ],
)
def test_usual_names_are_recognised(header: tuple[str, ...], columns: dict[str, str]) -> None:
    settled = settle_columns(LabelTable("labels.csv"), header)
    assert settled.to_dict() == columns
    assert all(f"{role} from column {column}" in settled.notes[0] for role, column in columns.items())


def test_named_columns_come_first() -> None:
    table = LabelTable("labels.csv", path="id", label="breed", group="patient")
    settled = settle_columns(table, ("path", "label", "id", "breed", "patient"))
    assert settled.to_dict() == {"path": "id", "label": "breed", "group": "patient"}


def test_a_column_like_a_group_is_spoken_of_and_not_used() -> None:
    settled = settle_columns(LabelTable("labels.csv"), ("path", "label", "patient_id"))
    assert settled.group == ""
    assert "column patient_id of labels.csv keeps no images together" in settled.notes[1]


@pytest.mark.parametrize(
    ("table", "header", "reason"),
    [
        (LabelTable("t.csv"), ("a", "b", "c"), "none is named like path or label"),
        (LabelTable("t.csv"), ("path", "b", "c"), "none is named like label"),
        (LabelTable("t.csv", label="bred"), ("path", "breed"), "Did you mean breed"),
        (LabelTable("t.csv", label="path"), ("path", "breed"), "as path and label"),
        (LabelTable("t.csv"), ("path", "path"), "its own name"),
        (LabelTable("t.csv"), (), "nothing"),
    ],
)
def test_what_is_not_certain_is_refused(table: LabelTable, header: tuple[str, ...], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        settle_columns(table, header)


@pytest.mark.parametrize(
    "columns", ["path=id,label=breed", ["path=id", "label=breed"], {"path": "id", "label": "breed"}]
)
def test_columns_are_named_in_three_forms(columns: object) -> None:
    table = label_table("t.csv", columns, "patient")
    assert table == LabelTable("t.csv", "id", "breed", group="patient")
    assert table.columns == {"path": "id", "label": "breed", "group": "patient"}


@pytest.mark.parametrize(
    ("labels", "columns", "group", "reason"),
    [
        (None, "label=breed", None, "without labels"),
        (None, None, "patient", "without labels"),
        ("t.csv", "lable=breed", None, "Did you mean label"),
        ("t.csv", "breed", None, "For example"),
        ("t.csv", "label=", None, "ROLE=NAME"),
        ("t.csv", "label=a,label=b", None, "each role once"),
        ("t.csv", "group=a", "b", "one column of groups"),
        ("https://a/b.csv", None, None, "is an address"),
    ],
)
def test_words_that_name_no_column_are_refused(labels: object, columns: object, group: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        label_table(labels, columns, group)


def test_no_table_is_no_table() -> None:
    assert label_table(None) is None
