"""Which images a part holds: pure functions of labels and a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from residua.data.random import order
from residua.data.tables.grouping import stratify_groups

Labels = npt.NDArray[np.int64]


def stratify(labels: Labels, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Split 0..N-1 class by class: (kept, held), each ascending.

    Of a class with n images, round(n · fraction) are held, at least one and at most n - 1; none of a single
    one.
    """
    held: list[Labels] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held.append(members[order(seed, int(label), len(members))[:count]])
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[np.concatenate(held) if held else np.empty(0, np.int64)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def held_out(labels: Labels, groups: Labels | None, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Split 0..N-1 into (kept, held), each ascending: class by class, or where there are groups by whole groups."""
    return stratify(labels, fraction, seed) if groups is None else stratify_groups(labels, groups, fraction, seed)


def balanced(labels: Labels, count: int, seed: int) -> Labels:
    """Choose at most `count` of 0..N-1, as many of each class as there are: ascending positions.

    Classes with too few images give all, and the others more; what does not divide goes to the first classes. A
    larger `count` includes the choice of a smaller one: of a class, the first images of one order are chosen.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    shares = [0] * len(members)
    left = min(count, len(labels))
    while left:
        open_classes = [index for index, positions in enumerate(members) if shares[index] < len(positions)]
        each = max(left // len(open_classes), 1)
        for index in open_classes[:left]:
            more = min(each, len(members[index]) - shares[index])
            shares[index] += more
            left -= more
    chosen = [
        positions[order(seed, int(labels[positions[0]]), len(positions))[:share]]
        for positions, share in zip(members, shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
