"""The answer to each image of several labels, as a table: its labels, those it was given, all probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from residua.data.tables.label_table import SEPARATOR
from residua.evaluation.measures.metrics import FloatArray, IntArray
from residua.evaluation.multilabel.label_metrics import Decisions
from residua.evaluation.report.predictions import write_columns


@dataclass(frozen=True, eq=False)
class LabelPredictions:
    """The answers to the images of a report, in their order.

    Attributes:
        paths: of the files, relative to the data, or positions in the split.
        classes: names of the labels, in the order of the probabilities.
        labels: 1 for each label that an image has, else 0, int64 (N, K).
        predicted: whether an image was given a label, bool (N, K).
        probabilities: of each label, fractions of 1, (N, K).
        loss: mean binary cross-entropy of the labels of each image, nats, (N,).
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    labels: IntArray = field(repr=False)
    predicted: Decisions = field(repr=False)
    probabilities: FloatArray = field(repr=False)
    loss: FloatArray = field(repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    def columns(self) -> dict[str, list[Any]]:
        """Return the table: column -> a value per image; labels have ";" between them, as in a table of labels."""
        named: dict[str, list[Any]] = {
            "path": list(self.paths),
            "labels": [self._joined(row) for row in self.labels > 0],
            "predicted": [self._joined(row) for row in self.predicted],
            "correct": (self.predicted == (self.labels > 0)).all(axis=1).tolist(),
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

    def _joined(self, row: Decisions) -> str:
        return SEPARATOR.join(name for name, has in zip(self.classes, row.tolist(), strict=True) if has)
