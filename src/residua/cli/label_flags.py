"""The options of a table of labels, alike in every command that opens labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Labels = Annotated[
    Path | None,
    Parameter(
        name="--labels",
        help="A table with a row per image, CSV or parquet: path,label[,split][,group]. Paths are relative to DATA or "
        "to the table, with or without their endings. With a label 'a;b' in any row, an image may have several.",
    ),
]
ColumnWords = Annotated[
    tuple[str, ...],
    Parameter(
        name="--columns",
        negative_iterable=(),
        help="ROLE=NAME: a column of the table by its role (path, label, split, group), such as path=image_id,"
        "label=breed. Usual names are recognised. 'labels=cat;dog' names columns of 0 and 1, one per label.",
    ),
]
GroupColumn = Annotated[
    str | None,
    Parameter(
        name="--groups",
        help="The column of what belongs together, such as patient: no group crosses parts. Short for --columns "
        "group=NAME.",
    ),
]
