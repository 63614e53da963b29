"""Images with several labels, dealt into parts so that each label has its share in every part.

Iterative stratification (Sechidis 2011, "On the Stratification of Multi-Label Data", figure 1). The label with the
fewest images left is dealt first, each of its images where the label lacks most.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from residua.data.random import order

Labels = npt.NDArray[np.int64]


def stratify_images(labels: Labels, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Split 0..N-1 into (kept, held), each ascending.

    About `fraction` of the images of each label is held. Every label stays in what is kept. At least one image is
    held where that leaves every label.

    Args:
        labels: (N, K), 1 for each label that an image has, else 0.
        fraction: to hold, in [0, 1).
        seed: decides between what is equal.
    """
    held = allot_images(labels, np.array([1 - fraction, fraction]), seed) == 1
    for column in range(labels.shape[1]):
        with_label = np.flatnonzero(labels[:, column])
        if len(with_label) and held[with_label].all():
            held[with_label[np.argmin(labels[with_label].sum(axis=1))]] = False
    if fraction and not held.any():
        spare = np.flatnonzero((labels.sum(axis=0) - labels >= (labels.any(axis=0))).all(axis=1))
        held[spare[:1]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def allot_images(labels: Labels, shares: npt.NDArray[np.float64], seed: int) -> Labels:
    """Return the part, 0..P-1, of each of N images; a pure function of its arguments.

    Args:
        labels: (N, K), 1 for each label that an image has, else 0. Images without any are dealt last.
        shares: (P,), of each part; they sum to 1.
        seed: decides between what is equal.
    """
    # A column of its own for images without a label: they are spread as a label is.
    table = np.concatenate([labels, ~labels.any(axis=1, keepdims=True)], axis=1).astype(np.float64)
    lacking = shares[:, None] * table.sum(axis=0)
    room = shares * len(table)
    parts = np.full(len(table), -1, np.int64)
    shuffled = order(seed, 0, len(table))
    while (left := parts < 0).any():
        remaining = table[left].sum(axis=0)
        rarest = int(np.argmin(np.where(remaining > 0, remaining, np.inf)))
        for image in shuffled[left[shuffled] & (table[shuffled, rarest] > 0)]:
            # Where the label lacks most; of equals, where images lack most; then the first.
            wants = [(round(float(lacking[at, rarest]), 9), round(float(room[at]), 9), -at) for at in range(len(room))]
            part = -max(wants)[2]
            parts[image] = part
            lacking[part] -= table[image]
            room[part] -= 1
    return parts
