"""Which images a part holds, and an epoch visits: pure functions of labels and a seed."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError
from residua._base.words import some
from residua.data.random import class_seed, order
from residua.data.tables.grouping import allot_groups, stratify_groups
from residua.data.tables.iterative import allot_images, stratify_images

Labels = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
_PIECE = 1 << 22  # labels counted at a time
UNEVEN = 5.0
"""Times as many images: from here on accuracy alone misleads, since the small classes hardly count in it."""


def counts_of(labels: Labels, classes: int) -> Counts:
    """Return the images of each class, int64 (K,), given labels (N,), or (N, K) where an image may have several."""
    if labels.ndim == 1 and labels.dtype != np.int64:
        return _counts_in_pieces(labels, classes)
    counts: Counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    return counts


def _counts_in_pieces(labels: npt.NDArray[np.generic], classes: int) -> Counts:
    """Count narrow labels, which may be mapped from a file: no piece stays in memory."""
    counts = np.zeros(classes, np.int64)
    for start in range(0, len(labels), _PIECE):
        counts += np.bincount(labels[start : start + _PIECE].astype(np.int64), minlength=classes)
        if isinstance(labels, np.memmap) and isinstance(mapping := getattr(labels, "_mmap", None), mmap.mmap):
            mapping.madvise(mmap.MADV_DONTNEED)
    return counts


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


@dataclass(frozen=True)
class Holdout:
    """Which images of the training part are held out for validation.

    Attributes:
        fraction: the share of each class; of no effect with folds.
        seed: decides which.
        folds: in so many parts the images are divided; 0 for none.
        fold: the part that is held out, from 1.
    """

    fraction: float = 0.1
    seed: int = 0
    folds: int = 0
    fold: int = 0

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Holdout:
        """Return what a description of a data set (`Dataset.describe`) states."""
        numbers = (int(described.get(key, 0)) for key in ("seed", "folds", "fold"))
        return cls(float(described.get("val_fraction", 0)), *numbers)

    def __str__(self) -> str:
        how = f"fold {self.fold} of {self.folds}" if self.folds else f"share {self.fraction}"
        return f"seed {self.seed} and {how}"

    def draw(self, labels: Labels, groups: Labels | None) -> tuple[Labels, Labels]:
        """Split 0..N-1 into (kept, held), each ascending."""
        if not self.folds:
            return held_out(labels, groups, self.fraction, self.seed)
        held = fold_of(labels, groups, self.folds, self.seed) == self.fold - 1
        return np.flatnonzero(~held), np.flatnonzero(held)

    def is_like(self, other: Holdout) -> bool:
        """Return whether both hold out the same images of the same data."""
        ours, theirs = ((each.seed, each.folds, each.fold, each.folds or each.fraction) for each in (self, other))
        return ours == theirs


def fold_of(labels: Labels, groups: Labels | None, count: int, seed: int) -> Labels:
    """Return the fold, 0..count-1, of each of N images: a pure function of its arguments.

    Without groups every fold has of each class as many images as any other, within one, and of all images too. With
    groups it has whole groups, and classes as even as they allow.
    """
    if groups is not None:
        return allot_groups(labels, groups, count, seed)
    folds, dealt = np.zeros(len(labels), np.int64), 0
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # Each class begins where the last one ended, so that the folds stay equal in all.
        folds[members[order(seed, int(label), len(members))]] = (dealt + np.arange(len(members))) % count
        dealt += len(members)
    return folds


def check_folds(labels: Labels, groups: Labels | None, count: int, classes: Sequence[str]) -> None:
    """Refuse folds that would leave a training part without a class, or a fold without images.

    Raises:
        InputError: names the classes, or the number of folds that is possible.
    """
    if labels.ndim == 2:
        raise InputError(
            f"folds={count} of images that may have several labels",
            "one label per image for a cross-validation",
            "Train one run: leave folds out",
        )
    units = np.arange(len(labels)) if groups is None else groups
    what = "image" if groups is None else "group"
    per_class = [len(np.unique(units[labels == label])) for label in range(len(classes))]
    if lone := [name for name, many in zip(classes, per_class, strict=True) if many == 1]:
        raise InputError(
            f"folds={count} with one {what} of {some(lone)}: held out, it leaves none to learn from",
            f"two {what}s of each class, and more",
            "Add images of these classes, or leave them out",
        )
    if count > (most := len(np.unique(units))):
        raise InputError(f"folds={count} of {most} {what}s", f"as many {what}s as folds", f"Use folds={most}")


def held_out(labels: Labels, groups: Labels | None, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Split 0..N-1 into (kept, held), each ascending: class by class, or where there are groups by whole groups.

    Of images that may have several labels, each label is held in about this share (`stratify_images`).
    """
    if groups is not None:
        return stratify_groups(labels, groups, fraction, seed)
    return stratify_images(labels, fraction, seed) if labels.ndim == 2 else stratify(labels, fraction, seed)


def balanced(labels: Labels, count: int, seed: int) -> Labels:
    """Choose at most `count` of 0..N-1, as many of each class as there are: ascending positions.

    Classes with too few images give all, and the others more; what does not divide goes to the first classes. A
    larger `count` includes the choice of a smaller one: of a class, the first images of one order are chosen.

    Of images that may have several labels, about the same share of each label is chosen instead.
    """
    if labels.ndim == 2:
        share = min(count / len(labels), 1)
        return np.flatnonzero(allot_images(labels, np.array([1 - share, share]), seed) == 1)[:count]
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


def unevenness(counts: Iterable[int]) -> float:
    """Return how many times as many images the largest class has as the smallest that has any; 1 without images."""
    present = [count for count in counts if count]
    return max(present) / min(present) if present else 1.0


def balanced_draws(labels: Labels, seed: int, epoch: int) -> tuple[Labels, Labels]:
    """Return the N draws of an epoch that visits every class equally often, shuffled.

    A pure function of its arguments. Within a class images come in one random order after the other, and the orders
    go on from epoch to epoch. So none is visited again before the whole class was. Where the classes do not divide N,
    some are visited once more than the others; which ones changes from epoch to epoch.

    Args:
        labels: int64 (N,), the class of each image.
        seed: of the order.
        epoch: counted from 0.

    Returns:
        Positions in 0..N-1, int64 (N,); and for each the number of its pass over the class within this epoch, which
        tells apart several visits of one image.
    """
    total, classes = len(labels), np.unique(labels)
    least, over = divmod(total, len(classes))
    more = set(order(seed, epoch, len(classes))[:over].tolist())
    positions, passes = [], []
    for rank, label in enumerate(classes):
        members = np.flatnonzero(labels == label)
        # Each epoch takes up where `least + 1` visits of every epoch before would have ended.
        visits = epoch * (least + 1) + np.arange(least + (rank in more))
        rounds, places = np.divmod(visits, len(members))
        for number in np.unique(rounds):
            shuffled = members[order(class_seed(seed, int(label)), int(number), len(members))]
            positions.append(shuffled[places[rounds == number]])
            passes.append(np.full(len(positions[-1]), number - rounds[0]))
    mixed = order(seed, epoch, total)
    return np.concatenate(positions)[mixed], np.concatenate(passes)[mixed]
