"""The answer to each image of an evaluation, as a table: the file, its class, and what the network gave it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from residua._base.errors import InputError
from residua._base.files import atomic_path, write_text, writing
from residua._base.packages import package
from residua._base.words import visible
from residua.evaluation.measures.metrics import FloatArray, IntArray

ENDINGS = (".csv", ".parquet")
COLUMNS = ("path", "label", "predicted", "correct", "probability", "label_probability", "loss")
"""Before one column per class, which has the name `p(CLASS)`."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """The answers to the images of a report, in their order; probabilities are those that the report judges.

    Attributes:
        paths: of the files, relative to the data, or positions in the split.
        classes: names in the order of the probabilities.
        label: the true class of each image, int64 (N,), positions in `classes`.
        predicted: the class with the greatest probability, int64 (N,).
        logits: (N, K), whose softmax are the probabilities.
        loss: cross-entropy of each image, nats, (N,).
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    label: IntArray
    predicted: IntArray
    logits: Tensor = field(repr=False)
    loss: FloatArray = field(repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def probabilities(self) -> FloatArray:
        """The probability of each class, fractions of 1, (N, K)."""
        # When asked for: in double precision they take twice the memory of the logits.
        shares: FloatArray = self.logits.double().softmax(dim=1).numpy()
        return shares

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether each image was given its class, (N,)."""
        right: npt.NDArray[np.bool_] = self.label == self.predicted
        return right

    def columns(self) -> dict[str, list[Any]]:
        """Return the table: column -> a value per image; a data frame takes it as it is."""
        rows = np.arange(len(self))
        named: dict[str, list[Any]] = {
            "path": list(self.paths),
            "label": [self.classes[at] for at in self.label],
            "predicted": [self.classes[at] for at in self.predicted],
            "correct": self.correct.tolist(),
            "probability": self.probabilities[rows, self.predicted].tolist(),
            "label_probability": self.probabilities[rows, self.label].tolist(),
            "loss": self.loss.tolist(),
        }
        return named | {f"p({name})": self.probabilities[:, at].tolist() for at, name in enumerate(self.classes)}

    def write(self, path: str | Path) -> Path:
        """Write the table, whole or not at all, and return its path.

        Args:
            path: ends in .csv (RFC 4180, UTF-8, control characters escaped) or .parquet (extra `shards`).

        Raises:
            InputError: another ending; the extra is missing; the file cannot be written.
        """
        return write_columns(Path(path), self.columns())


def write_columns(path: Path, columns: dict[str, list[Any]]) -> Path:
    """Write columns of equal length as the file that its ending names, whole or not at all, and return its path.

    Raises:
        InputError: another ending than .csv and .parquet; the extra is missing; the file cannot be written.
    """
    check_ending(path)
    with writing(path):
        if path.suffix.lower() == ".csv":
            write_text(path, "".join(_lines(columns)))
        else:
            _write_parquet(path, columns)
    return path


def _lines(columns: dict[str, list[Any]]) -> Iterator[str]:
    yield _line(list(columns))
    for row in zip(*columns.values(), strict=True):
        yield _line([str(cell).lower() if isinstance(cell, bool) else cell for cell in row])


def _write_parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    pyarrow, parquet = package("pyarrow", "shards"), package("pyarrow.parquet", "shards")
    texts = {
        _text(name): [_text(cell) if isinstance(cell, str) else cell for cell in cells]
        for name, cells in columns.items()
    }
    with atomic_path(path) as beside:
        parquet.write_table(pyarrow.table(texts), beside, compression="zstd")


def check_ending(path: Path) -> None:
    """Refuse a file of predictions that is neither CSV nor parquet, before any work.

    Raises:
        InputError: it is neither; the extra for parquet is missing.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(
            f"predictions={path}", "a file that ends in .csv or .parquet", f"Use {path.with_suffix('.csv')}"
        )
    if path.suffix.lower() == ".parquet":
        package("pyarrow", "shards")


def check_table(path: Path) -> None:
    """Refuse a file that cannot hold predictions, before any work: `check_ending`, and a table of something else.

    Raises:
        InputError: it has another ending; it exists and holds no predictions.
    """
    check_ending(path)
    if not path.is_file():
        return
    if path.suffix.lower() == ".csv":
        with path.open("rb") as file:
            columns = file.readline(1 << 20).decode("utf-8", "replace").strip().split(",")
    else:
        try:
            columns = package("pyarrow.parquet", "shards").read_schema(path).names
        except (OSError, ValueError):  # pyarrow's errors are kinds of these
            columns = []
    if not {"path", "label", "predicted"} <= set(columns) and not {"path", "labels", "predicted"} <= set(columns):
        raise InputError(
            f"predictions={path}, which holds something else",
            "a new file, or predictions to replace",
            "Give another name",
        )


def _line(cells: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([_text(c) if isinstance(c, str) else repr(c) for c in cells])
    return line.getvalue()


def _text(value: str) -> str:
    """Return text that UTF-8 can carry, in one line."""
    return visible(value).encode("utf-8", "backslashreplace").decode("utf-8")
