"""What a file of answers holds of one image that may have several labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TypedDict

from residua.data.tables.label_table import SEPARATOR
from residua.inference.answers.rows import json_text, text
from residua.inference.image_files import BadFile
from residua.weights.prediction import LabelPrediction, Prediction


class LabelRow(TypedDict):
    """One image.

    Attributes:
        path: the file.
        labels: those that reach their thresholds, most probable first; None where there is an error.
        probabilities: in the order of `labels`.
        all_probabilities: of every label by its name; empty where there is an error.
        error: why there is no answer; None where there is one.
    """

    path: str
    labels: list[str] | None
    probabilities: list[float]
    all_probabilities: dict[str, float]
    error: str | None


def label_row(item: Prediction | BadFile) -> LabelRow:
    """Return the row of an image."""
    if isinstance(item, BadFile):
        return LabelRow(path=item.path, labels=None, probabilities=[], all_probabilities={}, error=item.reason)
    assert isinstance(item, LabelPrediction)
    return LabelRow(
        path=item.path,
        labels=list(item.labels),
        probabilities=list(item.probabilities),
        all_probabilities=dict(item.all_probabilities),
        error=None,
    )


def label_json(item: Prediction | BadFile) -> str:
    """Return the row of an image as one JSON object, without the line's end."""
    return json_text(label_row(item))


def label_header(classes: Sequence[str]) -> str:
    """Return the names of the columns: path, labels, then p(LABEL) of each, and error."""
    return _csv(["path", "labels", *(f"p({text(name)})" for name in classes), "error"])


def label_csv(item: Prediction | BadFile, classes: Sequence[str]) -> str:
    """Return the row of an image as CSV without the line's end; its labels have ";" between them, as in a table."""
    row = label_row(item)
    shares = [repr(row["all_probabilities"][name]) if row["labels"] is not None else "" for name in classes]
    return _csv([text(row["path"]), text(SEPARATOR.join(row["labels"] or [])), *shares, text(row["error"] or "")])


def _csv(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
