"""What a file of answers holds of one image, as a line of JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from typing import Any, TypedDict

from residua._base.words import visible
from residua.inference.image_files import BadFile
from residua.weights.prediction import Prediction

# Halves of pairs, from file names that are no UTF-8; JSON reads the escape back as it was.
_SURROGATES = re.compile("[\ud800-\udfff]")


class Row(TypedDict):
    """One image.

    Attributes:
        path: the file.
        label: the most probable class; None where there is an error.
        probability: its probability, a fraction of 1.
        labels: the most probable classes, the first of them `label`.
        probabilities: in the order of `labels`.
        unknown: whether the image is unknown; None where the run has no rejection, or there is an error.
        error: why there is no answer; None where there is one.
    """

    path: str
    label: str | None
    probability: float | None
    labels: list[str]
    probabilities: list[float]
    unknown: bool | None
    error: str | None


def row_of(item: Prediction | BadFile) -> Row:
    """Return the row of an image."""
    if isinstance(item, BadFile):
        return Row(
            path=item.path,
            label=None,
            probability=None,
            labels=[],
            probabilities=[],
            unknown=None,
            error=item.reason,
        )
    labels, probabilities = list(item.labels), list(item.probabilities)
    return Row(
        path=item.path,
        label=labels[0],
        probability=probabilities[0],
        labels=labels,
        probabilities=probabilities,
        unknown=item.unknown,
        error=None,
    )


def json_line(row: Row) -> str:
    """Return a row as one JSON object, without the line's end."""
    return json_text(row)


def json_text(row: Mapping[str, Any]) -> str:
    """Return JSON in one line that UTF-8 can carry."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return _SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def csv_header(ranks: int, *, rejects: bool = False) -> str:
    """Return the names of the columns: path, label, probability, then of each further rank two, and error.

    Of a run with a rejection, `unknown` stands before the error.
    """
    more = (f"{word}{rank}" for rank in range(2, ranks + 1) for word in ("label", "probability"))
    return _csv(["path", "label", "probability", *more, *["unknown"] * rejects, "error"])


def csv_line(row: Row, ranks: int, *, rejects: bool = False) -> str:
    """Return a row as CSV (RFC 4180) without the line's end; control characters are escaped."""
    pairs = zip(row["labels"], row["probabilities"], strict=True)
    cells = [cell for label, probability in pairs for cell in (text(label), repr(probability))]
    empty = [""] * (2 * ranks - len(cells))
    unknown = ["" if row["unknown"] is None else str(row["unknown"]).lower()] * rejects
    return _csv([text(row["path"]), *cells, *empty, *unknown, text(row["error"] or "")])


def text(value: str) -> str:
    """Return text that UTF-8 can carry, in one line."""
    return visible(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _csv(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
