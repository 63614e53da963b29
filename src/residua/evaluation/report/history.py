"""Read the history of a run, history.jsonl: one line per epoch, checked before it is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HISTORY_FILE = "history.jsonl"
MEASURED = ("train_loss", "val_loss", "val_top1", "train_top1", "learning_rate", "images_per_second", "seconds")
"""The fields that a line may hold besides its epoch: numbers, or null."""


def read_history(folder: Path) -> tuple[tuple[dict[str, Any], ...], str]:
    """Return the lines of `folder`/history.jsonl, and a sentence on what is wrong with it.

    The history is an extra: the bundle alone makes a run. An absent file gives () and "", a damaged one () and the
    reason. A last line that was cut off while being written is ignored.
    """
    path = folder / HISTORY_FILE
    rows: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, ValueError) as error:
        return (), f"the run's {HISTORY_FILE} cannot be read ({error}): the report has no curves"
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
            if number == len(lines):
                break
        if not _is_epoch(row, rows[-1]["epoch"] if rows else -1):
            return (), f"the run's {HISTORY_FILE} is damaged in line {number}: the report has no curves"
        rows.append(row)
    return tuple(rows), ""


def _is_epoch(row: Any, before: float) -> bool:
    """Return whether `row` is a line of a history whose previous line was epoch `before`."""
    if not isinstance(row, dict) or not all(
        row.get(key) is None or _is_number(row[key]) for key in ("epoch", *MEASURED)
    ):
        return False
    epoch = row.get("epoch")
    return epoch is not None and before < epoch < 2**53


def _is_number(value: Any) -> bool:
    # A whole number of JSON has any length; beyond 2**63 it is no measurement, and no float.
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**63)
