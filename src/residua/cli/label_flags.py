"""DATA, and the options of a table of labels, alike in every command that opens labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

_LABELLED = (
    "'digits', 'cifar10', 'cifar100'; a folder of class folders, or one with train/ and val/ or test/; shards: a "
    "folder of tar files in WebDataset's layout, or one; parquet files of images, a folder or one; or the address of a "
    "folder that residua pack wrote: https://…, s3://…"
)
Data = Annotated[str, Parameter(help=f"{_LABELLED}. With --labels a folder of images.")]
OptionalData = Annotated[str | None, Parameter(help=f"{_LABELLED}. With --labels a folder of images.")]
StudyData = Annotated[str | None, Parameter(help=f"{_LABELLED}.")]
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
