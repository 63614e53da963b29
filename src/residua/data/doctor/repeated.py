"""Images that occur more than once, as findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from residua._base.words import counted
from residua.data.doctor.duplicates import exact_groups, near_pairs
from residua.data.doctor.inspect import Examination, Member
from residua.data.doctor.report import Finding

NEAR_LIMIT = 100_000
"""Near duplicates are looked for among at most this many images: the search compares all with all."""

PLACEHOLDER = 5
"""Equal images from which on they are taken for a placeholder."""
_EXACT = {
    "duplicate-across-classes": "equal images have different labels, a conflict that no network can solve",
    "duplicate-across-splits": "equal images stand in different parts, so that a score would flatter",
    "duplicate": "equal images stand in one part",
}
_NEAR = {
    "near-duplicate-across-classes": "images with different labels look alike: one label may be wrong",
    "near-duplicate-across-splits": "images in different parts look alike, so that a score may flatter",
    "near-duplicate": "images in one part look alike",
}


def repeated(images: Sequence[Member], results: Sequence[Examination]) -> Iterator[Finding]:
    """Yield the groups of equal images, then the pairs of images that look alike."""
    groups: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    exact = exact_groups([result.digest for result in results])
    for group in exact:
        members = [images[index] for index in group]
        crossing = len({member.split for member in members}) > 1
        kind = "duplicate-across-splits" if crossing else "duplicate"
        if len({member.label for member in members}) > 1:
            kind = "duplicate-across-classes"
        names = tuple(f"{member.name} ({member.label})" if "classes" in kind else member.name for member in members)
        groups[kind].append(names)
    if often := [group for group in exact if len(group) >= PLACEHOLDER]:
        most = max(map(len, often))
        message = (
            f"{counted(len(often), 'picture stands', 'pictures stand')} in the data up to {most} times, as a "
            "placeholder does ('image not found') where a download failed"
        )
        yield Finding("placeholder", False, message, tuple(images[group[0]].name for group in often))
    for kind, sentence in _EXACT.items():
        if groups[kind]:
            message = f"{counted(len(groups[kind]), 'group')} of {sentence}"
            yield Finding(kind, kind != "duplicate", message, tuple(groups[kind]))
    if len(images) > NEAR_LIMIT:
        message = f"near duplicates are looked for among at most {NEAR_LIMIT:,} images"
        yield Finding("not-examined", False, message)
        return
    yield from _near(images, results, exact)


def _near(
    images: Sequence[Member], results: Sequence[Examination], exact: Sequence[tuple[int, ...]]
) -> Iterator[Finding]:
    # Of equal images the first stands for all: n of them would be n²/2 pairs.
    parts = {group[0]: {images[index].split for index in group} for group in exact}
    copies = {index for group in exact for index in group[1:]}
    good = [i for i, result in enumerate(results) if result.thumbnail is not None and i not in copies]
    if not good:
        return
    pairs: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for places in near_pairs(np.stack([each for i in good if (each := results[i].thumbnail) is not None])):
        both = [good[position] for position in places]
        crossing = len(set[str]().union(*(parts.get(index, {images[index].split}) for index in both))) > 1
        kind = "near-duplicate-across-splits" if crossing else "near-duplicate"
        if len({images[index].label for index in both}) > 1:
            kind = "near-duplicate-across-classes"
        pairs[kind].append(tuple(images[index].name for index in both))
    for kind, sentence in _NEAR.items():
        if pairs[kind]:
            yield Finding(kind, False, f"{counted(len(pairs[kind]), 'pair')} of {sentence}", tuple(pairs[kind]))
