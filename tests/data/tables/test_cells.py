"""Tables are read as text, from CSV of any usual kind and from parquet alike."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from residua._base.errors import InputError
from residua.data.tables.cells import read_cells

ROWS = ((2, ("a.jpg", "cat")), (3, ("b, c.jpg", "dog")))


@pytest.mark.parametrize(
    "text",
    [
        'path,label\na.jpg,cat\n"b, c.jpg",dog\n',
        "path;label\r\na.jpg;cat\r\nb, c.jpg;dog\r\n",
        "\ufeffpath\tlabel\na.jpg\tcat\nb, c.jpg\tdog",
    ],
    ids=["commas", "semicolons", "tabs"],
)
def test_csv_of_any_usual_kind(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode())
    cells = read_cells(path)
    assert cells.header == ("path", "label")
    assert cells.rows == ROWS
    assert cells.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_parquet_is_read_as_the_same_text(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="no pyarrow: pip install 'residua[shards]'")
    from pyarrow import parquet

    columns = {"id": [7, 12], "label": [1.0, None], "tags": [["a", "b"], []], "flag": [True, False]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "labels.parquet")
    cells = read_cells(tmp_path / "labels.parquet")
    assert cells.header == ("id", "label", "tags", "flag")
    assert cells.rows == ((1, ("7", "1", "a;b", "True")), (2, ("12", "", "", "False")))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("labels.csv", b"path,label\n\xff,cat\n", "byte 12 is not UTF-8"),
        ("labels.csv", b'path,label\n"a.jpg,cat\n', "line 2"),
        ("labels.parquet", b"path,label\n", "no parquet file"),
    ],
)
def test_what_is_no_table_is_refused(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="no pyarrow: pip install 'residua[shards]'")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_cells(tmp_path / name)


def test_a_table_that_is_not_there_or_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_cells(tmp_path / "labels.csv")
    with pytest.raises(InputError, match="no regular file"):
        read_cells(tmp_path)
