"""Which groups of images go where: whole groups, classes as even as they allow; pure functions of a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from residua.data.random import order

Labels = npt.NDArray[np.int64]

_ROUNDS = 20  # of improvement; few are needed, since every one begins where the last ended
_MOST_SWAPS = 2_000  # groups: above, only moves are tried, since swaps compare all with all
_LEAST = 1e-9  # a smaller gain is rounding
_DIGITS = 9  # that decide between groups: the last ones depend on the order of a sum


def stratify_groups(labels: Labels, groups: Labels, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Split 0..N-1 into (kept, held), each ascending, without parting a group.

    About `fraction` of each class and of all images is held, as near as whole groups come. Images without a label
    are a class of their own there. Every other class stays in what is kept. At least one group is held where that
    leaves every class.

    Args:
        labels: (N,) classes, or (N, K) of 0 and 1 where an image may have several.
        groups: (N,) numbers of groups.
        fraction: to hold, in [0, 1).
        seed: decides between what is equal.
    """
    table, members = _tabulate(labels, groups)
    held = _allot(table, np.array([1 - fraction, fraction]), seed) == 1
    counts, sizes = table[:, : labels.shape[1] if labels.ndim == 2 else -1], table[:, -1]
    for column in range(counts.shape[1]):
        if counts[:, column].any() and not counts[~held, column].any():
            with_class = np.flatnonzero(held & (counts[:, column] > 0))
            held[with_class[np.argmin(sizes[with_class])]] = False
    if not held.any():
        spare = [row for row in range(len(counts)) if (counts.sum(0) - counts[row] >= (counts.sum(0) > 0)).all()]
        smallest = sorted(spare, key=lambda row: int(sizes[row]))[:1]
        held[smallest] = True
    chosen = held[members]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def allot_groups(labels: Labels, groups: Labels, count: int, seed: int) -> Labels:
    """Return the bin, 0..count-1, of each of N images: whole groups, of each class as many in every bin as they allow.

    Args:
        labels: (N,) classes.
        groups: (N,) numbers of groups.
        count: of bins.
        seed: decides between what is equal.
    """
    table, members = _tabulate(labels, groups)
    bins: Labels = _allot(table, np.full(count, 1 / count), seed)[members]
    return bins


def _tabulate(labels: Labels, groups: Labels) -> tuple[npt.NDArray[np.float64], Labels]:
    """Return images per group and class, those of all classes in the last column, and each image's row (N,).

    Of images that may have several labels, the last column but one counts those without any.
    """
    names, rows = np.unique(groups, return_inverse=True)
    if labels.ndim == 2:
        table = np.zeros((len(names), labels.shape[1] + 2))
        np.add.at(table[:, :-2], rows, labels)
        table[:, -2] = np.bincount(rows, ~labels.any(axis=1))
    else:
        _, columns = np.unique(labels, return_inverse=True)
        table = np.zeros((len(names), int(columns.max()) + 2))
        np.add.at(table, (rows, columns), 1)
    table[:, -1] = np.bincount(rows)
    return table, rows.astype(np.int64)


def _allot(table: npt.NDArray[np.float64], shares: npt.NDArray[np.float64], seed: int) -> Labels:
    """Return the bin of each group: the largest are placed first, each where it is missed most; then moves and swaps.

    What becomes least is the sum over bins and columns of (images - wanted)² / images of the column.

    Args:
        table: (G, K), images per group and class, those of all classes in the last column.
        shares: (B,), of each bin.
        seed: decides between what is equal.
    """
    scale = table / np.maximum(table.sum(0), 1)
    excess = -shares[:, None] * table.sum(0)
    shuffled = order(seed, 0, len(table))
    largest = shuffled[np.argsort(-np.round(scale[shuffled].max(1), _DIGITS), kind="stable")]
    bins = np.zeros(len(table), np.int64)
    for group in largest:
        chosen = int(np.argmin(np.round((excess * scale[group]).sum(1), _DIGITS)))
        bins[group] = chosen
        excess[chosen] += table[group]
    for _ in range(_ROUNDS):
        improved = [_improve(int(group), bins, table, scale, excess) for group in largest]
        if not any(improved):
            break
    return bins


def _improve(
    group: int,
    bins: Labels,
    table: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    excess: npt.NDArray[np.float64],
) -> bool:
    """Move a group to another bin, or swap it with one of another bin, where the sum of squares falls most."""
    own = bins[group]
    moves = ((excess - excess[own] + table[group]) * scale[group]).sum(1)
    moves[own] = 0
    best, partner, target = float(np.round(moves.min(), _DIGITS)), -1, int(np.argmin(np.round(moves, _DIGITS)))
    if len(table) <= _MOST_SWAPS:
        net, weighed = table[group] - table, scale[group] - scale
        swaps = ((excess[bins] - excess[own] + net) * weighed).sum(1)
        swaps[bins == own] = 0
        swaps = np.round(swaps, _DIGITS)
        if swaps.min() < best - _LEAST:
            best, partner = float(swaps.min()), int(np.argmin(swaps))
            target = int(bins[partner])
    if best >= -_LEAST:
        return False
    excess[own] -= table[group]
    excess[target] += table[group]
    bins[group] = target
    if partner >= 0:
        excess[target] -= table[partner]
        excess[own] += table[partner]
        bins[partner] = own
    return True
