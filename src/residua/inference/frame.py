"""Predictions as a table of pandas or polars."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from residua._base.errors import InputError
from residua.data.tables.label_table import SEPARATOR
from residua.evaluation.run_data import open_run
from residua.inference.image_files import BadFile, Images, listed
from residua.inference.predict import predict_stream
from residua.weights.prediction import LabelPrediction, Prediction
from residua.weights.run import Run

Library = Literal["pandas", "polars"]


def predict_frame(
    run: Run | Path | str, images: Images, *, top: int = 1, library: Library | None = None, **options: Any
) -> Any:
    """Return a row per image, in the order given: path, label, probability, and more columns where there is more.

    Of a run of several labels an image, `labels` has them with ";" between, as in a table of labels. p(LABEL) is the
    probability of each.

    With `top` above 1 the further classes are label2, probability2, …. Of a run with a rejection, `unknown` states what
    it decides. Where an image gives no answer, `error` states why and the rest of its row is empty; it is a column of
    every table.

    Args:
        run: a `Run` or its folder; or a folder of several runs, such as a cross-validation's: they answer as an
            ensemble, with the mean of their probabilities.
        images: as `predict`.
        top: classes per row.
        library: "pandas" or "polars"; by default the first of the two that is installed.
        options: as `predict`.

    Returns:
        a `pandas.DataFrame` or a `polars.DataFrame`.

    Raises:
        InputError: as `predict_stream`; neither of the two is installed, or not the one that was named.
    """
    module = _library(library)
    chosen = open_run(run, listed(images), multilabel=True, ensemble=True)
    rows = list(predict_stream(chosen, images, top=top, **options))
    return module.DataFrame(_columns(rows) if chosen.multilabel is None else _label_columns(rows, chosen.classes))


def _library(name: Library | None) -> Any:
    names = ("pandas", "polars") if name is None else (name,)
    if name not in (None, "pandas", "polars"):
        raise InputError(f"library={name!r}", "'pandas' or 'polars'", "Leave it out for the one that is installed")
    for each in names:
        try:
            return importlib.import_module(each)
        except ImportError:
            continue
    raise InputError(f"no {' and no '.join(names)}", "a library of tables", f"Install one: pip install {names[0]}")


def _columns(rows: Sequence[Prediction | BadFile]) -> dict[str, list[Any]]:
    good = [row for row in rows if isinstance(row, Prediction)]
    ranks = range(max((len(row.labels) for row in good), default=1))
    columns: dict[str, list[Any]] = {"path": [row.path for row in rows]}
    for rank in ranks:
        number = "" if rank == 0 else str(rank + 1)
        columns[f"label{number}"] = [row.labels[rank] if isinstance(row, Prediction) else None for row in rows]
        columns[f"probability{number}"] = [
            row.probabilities[rank] if isinstance(row, Prediction) else None for row in rows
        ]
    if any(row.unknown is not None for row in good):
        columns["unknown"] = [row.unknown if isinstance(row, Prediction) else None for row in rows]
    columns["error"] = [row.reason if isinstance(row, BadFile) else None for row in rows]
    return columns


def _label_columns(rows: Sequence[Prediction | BadFile], classes: Sequence[str]) -> dict[str, list[Any]]:
    good = [row if isinstance(row, LabelPrediction) else None for row in rows]
    columns: dict[str, list[Any]] = {
        "path": [row.path for row in rows],
        "labels": [None if row is None else SEPARATOR.join(row.labels) for row in good],
    }
    for name in classes:
        columns[f"p({name})"] = [None if row is None else row.all_probabilities[name] for row in good]
    return columns | {"error": [row.reason if isinstance(row, BadFile) else None for row in rows]}
