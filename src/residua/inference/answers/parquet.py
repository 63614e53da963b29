"""Answers as one parquet file, made from their lines of JSON in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from residua._base.files import atomic_path
from residua._base.packages import package
from residua.inference.answers.rows import Row, text

_ROWS_OF_A_GROUP = 1 << 16


def require_parquet() -> tuple[Any, Any]:
    """Return pyarrow and its parquet module.

    Raises:
        InputError: the extra `shards` is not installed.
    """
    return package("pyarrow", "shards"), package("pyarrow.parquet", "shards")


def write_parquet(lines: Path, out: Path, labels: Sequence[str] | None = None) -> None:
    """Write `out` from a file of `json_line`s, with the fields of a `Row` as columns.

    Args:
        lines: the file.
        out: to write.
        labels: where an image may have several: then lines are those of a `LabelRow`, and p(LABEL) is a column each.
    """
    pyarrow, parquet = require_parquet()
    word, number = pyarrow.string(), pyarrow.float64()
    columns = {"path": word, "label": word, "probability": number}
    columns |= {"labels": pyarrow.list_(word), "probabilities": pyarrow.list_(number)}
    columns |= {"unknown": pyarrow.bool_(), "error": word}
    if labels is not None:
        columns = {"path": word, "labels": pyarrow.list_(word), "probabilities": pyarrow.list_(number)}
        columns |= {f"p({text(name)})": number for name in labels} | {"error": word}
    schema = pyarrow.schema(list(columns.items()))
    with (
        lines.open(encoding="utf-8") as stream,
        atomic_path(out) as beside,
        parquet.ParquetWriter(beside, schema, compression="zstd") as writer,
    ):
        rows = map(_row if labels is None else _label_row, stream)
        while group := list(islice(rows, _ROWS_OF_A_GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))


def _row(line: str) -> Row:
    row: Row = json.loads(line)
    # Arrow's strings are UTF-8: what a file name has beyond it stands escaped, as in CSV.
    row["path"] = row["path"].encode("utf-8", "backslashreplace").decode("utf-8")
    row["error"] = row["error"] and text(row["error"])
    return row


def _label_row(line: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    row["path"] = row["path"].encode("utf-8", "backslashreplace").decode("utf-8")
    row["error"] = row["error"] and text(row["error"])
    return row | {f"p({text(name)})": share for name, share in row.pop("all_probabilities").items()}
