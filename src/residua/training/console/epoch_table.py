"""The table of epochs that stays on a terminal: a header, and a row when an epoch ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from residua._base.words import clock

_COLUMNS = (
    ("epoch", 5), ("train loss", 10), ("val loss", 10), ("val acc", 8), ("balanced", 8), ("val mAP", 8), ("rate", 9),
    ("images/s", 8), ("time", 8),
)  # fmt: skip
"""Names and characters; one row takes 74 of the 80 of a terminal without `balanced`, which stands for `val loss`."""


def header(*, balanced: bool, multilabel: bool = False) -> str:
    """Return the names of the columns.

    Args:
        balanced: whether the balanced accuracy is shown, in place of the validation loss.
        multilabel: whether the mean average precision is shown, in place of both accuracies.
    """
    return _row({name: name for name, _ in _COLUMNS}, balanced=balanced, multilabel=multilabel)


def row(line: Mapping[str, Any], *, balanced: bool, best: bool, multilabel: bool = False) -> str:
    """Return the row of an epoch, from its line of the history; `best`: whether it is the best so far."""
    cells = {
        "epoch": str(line["epoch"]),
        "train loss": _loss(line["train_loss"]),
        "val loss": _loss(line["val_loss"]),
        "val acc": _share(line.get("val_top1")),
        "val mAP": _share(line.get("val_mean_average_precision")),
        "balanced": _share(line.get("val_balanced_accuracy")),
        "rate": f"{line['learning_rate']:.3g}",
        "images/s": f"{line['images_per_second']:,.0f}",
        "time": clock(line["seconds"]),
    }
    return _row(cells, balanced=balanced, multilabel=multilabel) + "  best" * best


def _row(cells: Mapping[str, str], *, balanced: bool, multilabel: bool) -> str:
    left_out = {"val loss" if balanced else "balanced", "val mAP"}
    if multilabel:
        left_out = {"val acc", "balanced"}
    return "  ".join(cells[name].rjust(width) for name, width in _COLUMNS if name not in left_out)


def _loss(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if value < 1e4 else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"
