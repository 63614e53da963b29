"""A folder of images and a table with their labels as a data set, refused with the rows that are at fault."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from residua._base.errors import InputError
from residua._base.words import agree, counted, some
from residua.data.dataset import Dataset, Split, TableRecord
from residua.data.image_source import FileImages
from residua.data.listing import Listing, walk
from residua.data.splitting import Labels, counts_of
from residua.data.tables.cells import read_cells
from residua.data.tables.label_table import SEPARATOR, Columns, LabelTable, settle_columns
from residua.data.tables.locate import LocatedRow, locate
from residua.data.tables.rows import Fault, Row, conflicts, has_several, read_rows
from residua.specs.fields import BadPolicy

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class LabelledImages:
    """The rows of a table beside the files that they name.

    Attributes:
        columns: which column states what.
        record: what identifies the table.
        rows: those of which the file exists, in the order of their paths.
        faults: rows that cannot be used.
        missing: rows whose file does not exist, each with the reason.
        listing: what the folder of the images holds.
        notes: what was decided, sentences.
        multilabel: whether an image may have several labels, or none.
    """

    columns: Columns
    record: TableRecord
    rows: tuple[LocatedRow, ...]
    faults: tuple[Fault, ...]
    missing: tuple[str, ...]
    listing: Listing
    notes: tuple[str, ...]
    multilabel: bool = False


def read_labelled(path: Path, table: LabelTable, multilabel: bool | None = None) -> LabelledImages:
    """Read a table and find its files; what is wrong with single rows is collected, not raised.

    Args:
        path: the folder of the images.
        table: the table.
        multilabel: whether an image may have several labels; None: where the table states several of some image.

    Raises:
        InputError: the folder or the table cannot be read; a column is missing; the table has no rows; two folders
            hold the files alike.
    """
    if not path.is_dir():
        raise InputError(
            f"{path}, which {'is a file' if path.exists() else 'does not exist'}",
            "the folder of the images that the table names",
            "Check the path",
        )
    file = Path(table.file)
    if not file.exists() and (path / file).exists():
        raise InputError(f"labels={file}, which does not exist", "a table", f"Did you mean {path / file}?")
    cells = read_cells(file)
    columns = settle_columns(table, cells.header, (row for _, row in cells.rows))
    if not cells.rows:
        raise InputError(f"{file}, which has no rows", "a row for each image", "Add rows below the first line")
    several = has_several(cells, columns) if multilabel is None else multilabel
    rows, faults, notes = read_rows(cells, columns, multilabel=several)
    listing = Listing.of(list(walk(path)))
    location = locate(rows, path, file, listing)
    ordered = sorted(location.rows, key=lambda each: (str(each.file).split(os.sep), each.row.number))
    faults += conflicts([(each.row, each.file) for each in ordered])
    notes = [*columns.notes, *[f"{file.name}: {note}" for note in notes]]
    if barred := next((label for row in rows for label in row.labels if "|" in label.strip("|")), ""):
        notes.append(f"{file.name}: {barred!r} is one label; {SEPARATOR!r} separates several, and '|' does not")
    if location.base not in (path, file.parent):
        notes.append(f"the paths of {file.name} are relative to {location.base.relative_to(path)}")
    if location.outside:
        numbers = some((str(row.number) for row in location.outside), 5)
        count = counted(len(location.outside), "row names a file", "rows name files")
        rows_word = agree(len(location.outside), "row", "rows")
        notes.append(f"{count} outside of the data and of the folder of {file.name}: {rows_word} {numbers}")
    used = {str(each.file) for each in ordered}
    images = [Path(image) for image, _ in listing.images]
    unnamed = [str(image.relative_to(path)) for image in images if str(image) not in used]
    if unnamed:
        count = counted(len(unnamed), "image of the data stands", "images of the data stand")
        notes.append(f"{count} in no row and {agree(len(unnamed), 'is', 'are')} left out: {some(unnamed, 3)}")
    notes += Listing(system=listing.system, runs=listing.runs).left_out()
    missing = tuple(f"{row}: {reason}" for row, reason in location.missing)
    record = TableRecord(str(file.absolute()), cells.sha256, columns.to_dict())
    return LabelledImages(columns, record, tuple(ordered), tuple(faults), missing, listing, tuple(notes), several)


def open_table(
    path: Path,
    table: LabelTable,
    on_bad: BadPolicy = "refuse",
    *,
    partial: bool = False,
    multilabel: bool | None = None,
) -> Dataset:
    """Open a folder whose labels a table states; classes are sorted by name, images by path.

    The order of the rows does not matter. A table without a column of parts is all training images.

    A table that states several labels of any image makes data of several labels: then an image may have none, too.

    Args:
        path: the folder.
        table: the table.
        on_bad: "refuse" rows whose file does not exist, or "skip" them and name them in the notes.
        partial: whether one class is enough: for data that a finished run is judged on.
        multilabel: whether an image may have several labels; None: where the table states several of some image.

    Raises:
        InputError: rows that cannot be used, each named; one class; no training images; a part with classes that
            train lacks; what `read_labelled` raises.
    """
    labelled = read_labelled(path, table, multilabel)
    problems = [str(fault) for fault in labelled.faults]
    notes = list(labelled.notes)
    if labelled.missing:
        count = counted(len(labelled.missing), "row names no image", "rows name no image")
        if on_bad == "refuse":
            problems.append(f"{count}: {some(labelled.missing, 5)}")
        else:
            notes.append(
                f"{count} and {agree(len(labelled.missing), 'was', 'were')} skipped: {some(labelled.missing, 5)}"
            )
    name = Path(table.file).name
    if problems or not labelled.rows:
        raise InputError(
            f"{table.file}: {'; '.join(problems) or 'no row names an image'}",
            "one row per image, with a path below the data or below the folder of the table, and a label"
            + f"; the part train, val or test in {labelled.columns.split}" * bool(labelled.columns.split)
            + f"; each of {labelled.columns.group} in one part" * bool(labelled.columns.group),
            "Correct these rows" + _whether_skipped(labelled, on_bad),
        )
    learnt = [each.row for each in labelled.rows if each.row.part == "train" or partial]
    classes = tuple(sorted({label for row in learnt for label in _labels_of(row, labelled)}))
    if labelled.columns.labels and not partial:
        _refuse_labels_without_images(labelled, classes, table)
    if not learnt:
        raise InputError(
            f"{table.file}, which has no rows of the part train", "training images", f"Correct {labelled.columns.split}"
        )
    if len(classes) < 2 and not partial:
        raise InputError(
            f"{table.file}, in which "
            + (f"every training image is {classes[0]}" if classes else "no training image has a label"),
            "at least two classes",
            "Add images of other classes, or name the column of the labels: columns='label=NAME'",
        )
    groups = {group: index for index, group in enumerate(sorted({each.row.group for each in labelled.rows}))}
    splits: dict[str, Split] = {}
    for part in PARTS:
        rows = [each for each in labelled.rows if each.row.part == part]
        if not rows:
            continue
        if unknown := [each.row for each in rows if not set(_labels_of(each.row, labelled)) <= set(classes)]:
            raise InputError(
                f"{table.file}: {counted(len(unknown), 'row')} of {part} with classes that train lacks: "
                f"{some((f'{row}: {row.label}' for row in unknown), 5)}",
                f"in {part} no class that train does not have",
                "Correct these rows, or add training images of the classes",
            )
        labels = _indices([each.row for each in rows], classes, labelled)
        absent = [label for label, count in zip(classes, counts_of(labels, len(classes)), strict=True) if not count]
        notes += [f"{part} has no images of {some(absent)}"] * bool(absent)
        together = np.array([groups[each.row.group] for each in rows], np.int64) if labelled.columns.group else None
        splits[part] = Split(part, labels, FileImages([each.file for each in rows]), groups=together)
    notes += [f"{len(groups):,} groups of {name}, none of which crosses parts"] * bool(labelled.columns.group)
    notes += _several_note(labelled, name)
    return Dataset(
        str(path),
        classes,
        splits,
        _hash(path, classes, labelled),
        tuple(notes),
        location=str(path.resolve()),
        table=labelled.record,
    )


def _whether_skipped(labelled: LabelledImages, on_bad: BadPolicy) -> str:
    """Return what a remedy adds on `on_bad`, which leaves out rows that name no image and hides no other fault."""
    if labelled.faults and (labelled.missing or on_bad == "skip"):
        return ": on_bad='skip' leaves out rows that name no image, not rows with bad values"
    return ", or set on_bad='skip'" if labelled.missing and on_bad == "refuse" else ""


def _labels_of(row: Row, labelled: LabelledImages) -> tuple[str, ...]:
    return row.labels if labelled.multilabel else (row.label,)


def _indices(rows: Sequence[Row], classes: Sequence[str], labelled: LabelledImages) -> Labels:
    """Return the labels of a part as `Split` has them: (N,), or (N, K) where an image may have several."""
    index_of = {name: index for index, name in enumerate(classes)}
    if not labelled.multilabel:
        return np.array([index_of[row.label] for row in rows], np.int64)
    labels = np.zeros((len(rows), len(classes)), np.int64)
    for position, row in enumerate(rows):
        labels[position, [index_of[name] for name in row.labels]] = 1
    return labels


def _refuse_labels_without_images(labelled: LabelledImages, classes: Sequence[str], table: LabelTable) -> None:
    if without := [name for name in labelled.columns.labels.split(SEPARATOR) if name not in classes]:
        raise InputError(
            f"{table.file}, in which no training image has {some(without)}",
            "at least one training image of each label",
            "Leave these columns out of columns='labels=…', or add images",
        )


def _several_note(labelled: LabelledImages, name: str) -> list[str]:
    """Return a sentence on how many labels the images of a table have, where they may have several."""
    if not labelled.multilabel:
        return []
    counts = [len(each.row.labels) for each in labelled.rows]
    without = sum(not count for count in counts)
    none = f", {without:,} of them none" if without else ""
    return [f"{name} states several labels an image: {sum(counts) / len(counts):.3g} on average{none}"]


def _hash(path: Path, classes: Sequence[str], labelled: LabelledImages) -> str:
    """Return the SHA-256 over classes, and of each image part, label, group, path and size."""
    kind = "table of several labels" if labelled.multilabel else "table"
    digest = hashlib.sha256("\n".join((kind, *classes)).encode("utf-8", "surrogateescape"))
    for each in labelled.rows:
        row = each.row
        name = (each.file.relative_to(path) if each.file.is_relative_to(path) else each.file).as_posix()
        stated = "\0".join(("", row.part, row.label, row.group, name, str(each.size)))
        digest.update(stated.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
