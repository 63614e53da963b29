"""Corrections of labels: a table of paths and what each image is to be labelled, applied when data is opened."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from residua._base.errors import Damaged, InputError, did_you_mean
from residua._base.files import check_local, read_regular
from residua._base.words import agree, counted, some
from residua.data.dataset import Dataset

_MOST_BYTES = 256 << 20
_REMEDY = "Take the file that residua doubt wrote, and keep its columns path and label"


@dataclass(frozen=True)
class Corrections:
    """Labels that differ from those of the data.

    Attributes:
        labels: label by the name of the image, see `Dataset.image_name`; "" for an image to leave out.
        lines: line of the file by the same name; none for corrections that a run recorded.
        path: the file, "" for corrections that a run recorded.
    """

    labels: Mapping[str, str]
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)
    path: str = field(default="", compare=False)

    def named(self, name: str) -> str:
        """Return an image's name, with its line in the file."""
        return f"line {self.lines[name]} ({name})" if name in self.lines else name

    @property
    def given(self) -> str:
        """What an error calls them: the argument with its file, or the run's record."""
        return f"corrections={self.path}" if self.path else "the corrections that the run recorded"


def read_corrections(path: Path | str) -> Corrections:
    """Return the corrections of a CSV file with the columns `path` and `label`; further columns are left aside.

    Raises:
        InputError: no such file, no such columns, rows without a path, or one path with two labels; each row is named.
    """
    check_local("corrections", path)
    argument = f"corrections={path}"
    try:
        text = read_regular(Path(path), _MOST_BYTES).decode("utf-8-sig")
    except (Damaged, UnicodeDecodeError) as error:
        reason = error.reason if isinstance(error, Damaged) else "it is no UTF-8"
        raise InputError(f"{argument}: {reason}", "a CSV file", _REMEDY) from None
    # Spreadsheets of half the world write semicolons.
    head = text.split("\n", 1)[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    rows.fieldnames = [(name or "").strip().lower() for name in rows.fieldnames or ()]
    if not {"path", "label"} <= set(rows.fieldnames):
        raise InputError(f"{argument} with the columns {some(rows.fieldnames) or 'none'}", "path and label", _REMEDY)
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    try:
        for row in rows:
            name, label = (row["path"] or "").strip(), row["label"]
            if not any(value for value in row.values() if value):
                continue
            if not name:
                faults.append(f"line {rows.line_num} has no path")
            elif label is None:
                faults.append(f"line {rows.line_num} ({name}) ends before its label")
            elif labels.get(name, label.strip()) != label.strip():
                faults.append(f"line {rows.line_num} gives {name} another label than line {lines[name]}")
            else:
                labels[name] = label.strip()
                lines.setdefault(name, rows.line_num)
    except csv.Error as error:
        raise InputError(f"{argument}: line {rows.line_num}: {error}", "a CSV file", _REMEDY) from None
    if faults:
        raise InputError(f"{argument}: {some(faults)}", "a path and one label per row", _REMEDY)
    return Corrections(labels, lines, str(path))


def correct(dataset: Dataset, corrections: Corrections) -> Dataset:
    """Return the data with corrected labels, without the images whose label is empty.

    The parts hold the images that they held: runs on the data and on its correction are measured on the same ones.

    Args:
        dataset: opened, with its validation part.
        corrections: by names of its images.

    Raises:
        InputError: names that the data does not have, classes that it does not know, or a class that loses all its
            training images; each row is named.
    """
    if dataset.multilabel:
        raise InputError(
            f"{corrections.given} for {dataset.given}, whose images may have several labels",
            "one label per image for corrections",
            "Correct the table of the labels itself",
        )
    index_of = {name: index for index, name in enumerate(dataset.classes)}
    _refuse_misfits(dataset, corrections)
    splits, changed, left_out = {}, 0, 0
    for part, split in dataset.splits.items():
        labels, kept = split.labels.copy(), np.ones(len(split), bool)
        for index in range(len(split)):
            label = corrections.labels.get(dataset.image_name(split, index))
            if label == "":
                kept[index] = False
            elif label is not None:
                changed += int(labels[index] != index_of[label])
                labels[index] = index_of[label]
        left_out += int((~kept).sum())
        corrected = dataclasses.replace(split, labels=labels)
        splits[part] = corrected if kept.all() else corrected.subset(np.flatnonzero(kept))
    before = np.bincount(dataset.splits["train"].labels, minlength=len(dataset.classes))
    after = np.bincount(splits["train"].labels, minlength=len(dataset.classes))
    if lost := [dataset.classes[index] for index in np.flatnonzero((before > 0) & (after == 0))]:
        raise InputError(
            f"{corrections.given}: no training image of {some(lost)} would be left",
            "at least one of each class",
            "Keep one image of it, or move its folder out of the data",
        )
    content = json.dumps(sorted(corrections.labels.items()))
    note = f"{counted(changed, 'label')} {agree(changed, 'was', 'were')} corrected"
    note += f", {counted(left_out, 'image')} {agree(left_out, 'was', 'were')} left out" * bool(left_out)
    return dataclasses.replace(
        dataset,
        splits=splits,
        hash=hashlib.sha256(f"{dataset.hash}\0{content}".encode("utf-8", "surrogateescape")).hexdigest(),
        notes=(*dataset.notes, f"{note}, as corrections state"),
        corrections=dict(corrections.labels),
    )


def _refuse_misfits(dataset: Dataset, corrections: Corrections) -> None:
    """Refuse rows of unknown classes and of images that the data does not have, all at once."""
    names = {dataset.image_name(split, index) for split in dataset.splits.values() for index in range(len(split))}
    strangers = [name for name in corrections.labels if name not in names]
    unknown = {name: label for name, label in corrections.labels.items() if label and label not in dataset.classes}
    misfits, wishes, remedies = [], [], []
    if unknown:
        misfits.append(some(f"{corrections.named(name)} to {label!r}" for name, label in unknown.items()))
        wishes.append(f"classes of {dataset.given}, or an empty label to leave an image out")
        nearest = did_you_mean(next(iter(unknown.values())), dataset.classes)
        remedies.append(nearest or f"Its classes are {some(dataset.classes)}.")
    if strangers:
        count = counted(len(strangers), "image that is", "images that are")
        misfits.append(f"{count} not in {dataset.given}: {some(map(corrections.named, strangers))}")
        wishes.append("paths relative to the data")
        remedies.append("Take the file that residua doubt wrote for this data")
    if misfits:
        raise InputError(f"{corrections.given}: {'; '.join(misfits)}", "; ".join(wishes), " ".join(remedies))
