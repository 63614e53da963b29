"""The confusion matrix as markup, and the confusions that matter most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from residua.evaluation.measures.metrics import IntArray

# Larger matrices are unreadable: the classes with most mistakes stand for them.
_MATRIX = 100
_LEVELS = 9  # shades that a reader can tell apart
_SIZES = ((5, "huge"), (12, "large"), (30, "medium"), (_MATRIX, "small"))


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix as markup.

    Attributes:
        names: classes shown.
        rows: (class, support, cells as `<td>` markup).
        style: "huge", "large", "medium" or "small" cells; "brief" where every name is short enough to stand
            upright above its column.
        left_out: classes not shown.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, int, Markup], ...]
    style: str
    left_out: int


def confusion_matrix(confusion: IntArray, classes: Sequence[str]) -> Matrix:
    """Return the matrix as markup: of more than 100 classes the 50 with the most mistakes."""
    shown = np.arange(len(classes))
    if len(classes) > _MATRIX:
        errors = confusion.sum(axis=1) + confusion.sum(axis=0) - 2 * np.diagonal(confusion)
        shown = np.sort(np.argsort(-errors, kind="stable")[: _MATRIX // 2])
    part = confusion[np.ix_(shown, shown)]
    support = confusion.sum(axis=1)[shown]
    names = tuple(classes[int(index)] for index in shown)
    rows = []
    for row, name in enumerate(names):
        whole, wide = int(support[row]), len(names) <= _SIZES[0][0]
        cells = [_matrix_cell(int(part[row, column]), whole, row == column, wide) for column in range(len(names))]
        rows.append((name, int(support[row]), Markup("").join(cells)))
    size = next(word for most, word in _SIZES if len(names) <= most)
    brief = " brief" if max(map(len, names)) <= 3 else ""
    return Matrix(names, tuple(rows), size + brief, len(classes) - len(names))


def confused_pairs(confusion: IntArray, classes: Sequence[str]) -> list[tuple[str, str, int, float]]:
    """Return (true, predicted, images, share of the true class), the most frequent confusions first."""
    errors = confusion.copy()
    np.fill_diagonal(errors, 0)
    support = confusion.sum(axis=1)
    order = np.argsort(-errors, axis=None, kind="stable")[:6]
    pairs = []
    for true, predicted in zip(*np.unravel_index(order, errors.shape), strict=True):
        count = int(errors[true, predicted])
        if count:
            pairs.append((classes[int(true)], classes[int(predicted)], count, count / int(support[true])))
    return pairs


def _matrix_cell(count: int, whole: int, right: bool, wide: bool) -> Markup:
    if not count:
        return Markup("<td>0") if right and whole else Markup("<td>")
    share = count / whole
    # The root makes a few percent of errors visible beside a diagonal near 100%.
    level = max(1, math.ceil(_LEVELS * (share if right else math.sqrt(share))))
    if wide:
        return Markup('<td class="{}{}">{:,} <small>{:.1f}%</small>').format(
            "h" if right else "m", level, count, 100 * share
        )
    return Markup('<td class="{}{}" title="{:.1f}%">{}').format("h" if right else "m", level, 100 * share, count)
