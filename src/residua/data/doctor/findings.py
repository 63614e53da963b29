"""What is wrong or odd about single images, and about how many there are of each class."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from residua._base.words import agree, counted, some
from residua.data.doctor.inspect import Examination, Member
from residua.data.doctor.report import Finding
from residua.data.splitting import UNEVEN, unevenness

FEW_LEVELS = 16
"""An image is nearly one colour when its values span fewer than this, of 256."""
PLAIN = 0.6
"""An image is no photo when this share of its pixels has exactly one colour and most others have far less."""
DARK_16_BIT = 64
"""A 16-bit image is taken for one of 14 bits or fewer when no value, of 256, reaches this."""


def broken(images: Sequence[Member], results: Sequence[Examination]) -> Iterator[Finding]:
    """Yield a finding for each kind of damage."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for image, result in zip(images, results, strict=True):
        if result.reason:
            kinds[_kind(result.reason)].append(f"{image.name} ({result.reason})")
    for kind, files in kinds.items():
        yield Finding(
            kind,
            True,
            f"{len(files)} of {counted(len(images), 'image')} {agree(len(files), 'does', 'do')} not decode",
            tuple(files),
        )


def _kind(reason: str) -> str:
    for start, kind in (("empty", "empty"), ("truncated", "truncated"), ("cannot be read", "unreadable")):
        if reason.startswith(start):
            return kind
    # A sound file of a format that is not read, or not without an extra.
    return "unsupported" if re.search("which (is not read|needs)", reason) else "corrupt"


def odd(images: Sequence[Member], results: Sequence[Examination]) -> Iterator[Finding]:
    """Yield what is unusual about images that decode: extension, mode, levels, size."""
    pairs = [(image.name, result) for image, result in zip(images, results, strict=True) if not result.reason]
    if not pairs:
        return
    mislabelled = [f"{name} (is {result.format})" for name, result in pairs if result.mislabelled]
    if mislabelled:
        message = counted(
            len(mislabelled),
            "file is of a different format than its extension states",
            "files are of a different format than their extension states",
        )
        yield Finding("extension", False, message, tuple(mislabelled))
    usual = Counter(result.mode for _, result in pairs).most_common(1)[0][0]
    modes = [f"{name} ({result.mode})" for name, result in pairs if result.mode != usual]
    if modes:
        message = counted(
            len(modes),
            f"image is not {usual} like the others; it is converted to RGB",
            f"images are not {usual} like the others; they are converted to RGB",
        )
        yield Finding("mode", False, message, tuple(modes))
    yield from _few_levels(pairs)
    yield from _drawings(pairs)
    sides = np.array([result.size for _, result in pairs])
    shorter, longer = sides.min(1), sides.max(1)
    unusual = (shorter * 8 < np.median(shorter)) | (longer > 5 * shorter)
    if unusual.any():
        names = tuple(f"{pairs[i][0]} ({sides[i, 1]} × {sides[i, 0]})" for i in np.flatnonzero(unusual))
        yield Finding(
            "size",
            False,
            f"{counted(len(names), 'image is', 'images are')} much smaller or narrower than the others",
            names,
        )


def _drawings(pairs: Sequence[tuple[str, Examination]]) -> Iterator[Finding]:
    # What is black, or one colour through and through, is a matter of its levels.
    spans = [result.levels[1] - result.levels[0] for _, result in pairs]
    shares = np.array([result.plain * (span >= DARK_16_BIT) for (_, result), span in zip(pairs, spans, strict=True)])
    # Photos of things before a white wall are all alike in this.
    if np.median(shares) > PLAIN / 3:
        return
    names = tuple(f"{pairs[at][0]} ({shares[at]:.0%} one colour)" for at in map(int, np.flatnonzero(shares >= PLAIN)))
    if names:
        message = (
            counted(len(names), "image is mostly", "images are mostly")
            + " of exactly one colour, unlike the others: a drawing, or a placeholder such as 'image not found'"
        )
        yield Finding("placeholder", False, message, names)


def _few_levels(pairs: Sequence[tuple[str, Examination]]) -> Iterator[Finding]:
    deep, flat = [], []
    for name, result in pairs:
        darkest, brightest = result.levels
        described = f"{name} ({result.mode}, levels {darkest} to {brightest} of 0 to 255)"
        if result.mode.startswith("I") and brightest < DARK_16_BIT:
            deep.append(described)
        elif brightest - darkest < FEW_LEVELS:
            flat.append(described)
    if deep:
        message = (
            f"{counted(len(deep), '16-bit image uses', '16-bit images use')} the lowest levels only, as values of 8 to "
            f"14 bits do whose depth the file does not declare; {agree(len(deep), 'it is', 'they are')} seen as nearly "
            "black: scale the values to 0..65535, or declare the depth"
        )
        yield Finding("levels", False, message, tuple(deep))
    if flat:
        message = (
            counted(len(flat), "image is nearly one colour: its", "images are nearly one colour: their")
            + f" values span fewer than {FEW_LEVELS} of 256 levels"
        )
        yield Finding("levels", False, message, tuple(flat))


def absent_classes(counts: dict[str, dict[str, int]]) -> Iterator[Finding]:
    """Yield a finding for each split without images of some class; training cannot do without."""
    every = sorted({label for split in counts.values() for label in split})
    for name, split in counts.items():
        if absent := [label for label in every if not split.get(label)]:
            yield Finding("absent-class", name == "train", f"{name} has no images of {some(absent)}")


def imbalance(counts: dict[str, dict[str, int]], *, multilabel: bool = False) -> Iterator[Finding]:
    """Yield a finding for each part in which one class has at least five times the images of a different one.

    Args:
        counts: images by part and class.
        multilabel: whether an image may have several labels: then no answer is right for a share of the images.
    """
    for split, classes in counts.items():
        present = {label: count for label, count in classes.items() if count}
        if unevenness(present.values()) < UNEVEN:
            continue
        most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
        share, chance = present[most] / sum(present.values()), 1 / len(present)
        uneven = (
            f"{split} has {present[most]:,} of {most} and {present[least]:,} of {least}, "
            f"{present[most] / present[least]:.3g} : 1"
        )
        if multilabel:
            advice = (
                "judge by the average precision of each label, and weigh rare ones by the field balance of a recipe"
            )
            yield Finding("imbalance", False, f"{uneven}: {advice}")
            continue
        message = (
            f"{uneven}. Always answering {most} is right for {share:.1%} of these "
            f"images, with a balanced accuracy of {chance:.1%}: judge by balanced accuracy and the recall of each class"
        )
        if split == "train":
            message += "; the fields balance and keep_by of a recipe let training count them alike"
            if "val" not in counts:
                message += f"; a tenth to validate holds {max(1, round(present[least] / 10))} of {least}"
        yield Finding("imbalance", False, message)
