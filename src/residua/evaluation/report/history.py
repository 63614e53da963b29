"""Read the history of a run, history.jsonl: one line per epoch, checked before it is drawn."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from residua._base.errors import Damaged
from residua._base.json_file import read_json_lines
from residua._base.run_files import HISTORY_FILE


class Epoch(TypedDict):
    """A line of the history; what was not measured is null."""

    epoch: float
    train_loss: NotRequired[float | None]
    val_loss: NotRequired[float | None]
    val_top1: NotRequired[float | None]
    train_top1: NotRequired[float | None]
    learning_rate: NotRequired[float | None]
    images_per_second: NotRequired[float | None]
    seconds: NotRequired[float | None]


def read_history(folder: Path) -> tuple[tuple[dict[str, Any], ...], str]:
    """Return the lines of `folder`/history.jsonl, and a sentence on what is wrong with it.

    The history is an extra: the bundle alone makes a run. An absent file gives () and "", a damaged one () and the
    reason. A last line that was cut off while being written is ignored.
    """
    try:
        rows = read_json_lines(folder / HISTORY_FILE, Epoch)
    except Damaged as error:
        return (), "" if error.absent else _damage(error.reason)
    for number, (before, row) in enumerate(pairwise(rows), 2):
        if row["epoch"] <= before["epoch"]:
            return (), _damage(f"line {number}: epoch {row['epoch']} after epoch {before['epoch']}")
    return tuple(dict(row) for row in rows), ""


def _damage(reason: str) -> str:
    return f"the run's {HISTORY_FILE} is damaged ({reason}): the report has no curves"
