"""A packed data set opened by its index alone: no shard is read before an image of it is."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

import numpy as np

from residua._base.errors import Damaged, InputError
from residua._base.words import counted, some
from residua.data.dataset import Dataset, Split
from residua.data.shards.index import LARGE_IMAGES, Index, Shard, check_sizes
from residua.data.shards.members import IndexFile, PartIndex, map_labels
from residua.data.shards.packed import LocalShards, PackedImages, ShardFiles
from residua.data.sources.table import PARTS
from residua.data.splitting import Labels
from residua.specs.fields import BadPolicy


class PackedFolder(Protocol):
    """Where a packed data set lies."""

    @property
    def shards(self) -> ShardFiles:
        """The files of its shards."""
        ...

    @property
    def location(self) -> str:
        """What opens the same data again."""
        ...

    def faults(self, shards: tuple[Shard, ...]) -> dict[str, str]:
        """Return what is known to be wrong with shards without reading them, by name."""
        ...

    def index_file(self, file: IndexFile) -> Path:
        """Return a file of arrays, on this machine.

        Raises:
            InputError: it cannot be had.
        """
        ...


class LocalFolder:
    """A packed data set in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.location = folder, str(folder.resolve())
        self.shards: ShardFiles = LocalShards(folder)

    def faults(self, shards: tuple[Shard, ...]) -> dict[str, str]:
        """See `PackedFolder.faults`: missing files, and those of another size."""
        return check_sizes(self._folder, shards)

    def index_file(self, file: IndexFile) -> Path:
        """See `PackedFolder.index_file`."""
        return self._folder / file.url


def open_packed(
    name: str, index: Index, folder: PackedFolder, on_bad: BadPolicy = "refuse", *, partial: bool = False
) -> Dataset:
    """Open a packed data set by its index; labels and places are mapped from their files.

    Labels of more than four million images stay in the narrow type of their file.

    Args:
        name: of the data, as the user gave it.
        index: of all parts.
        folder: where the files lie.
        on_bad: "refuse" shards that are known to be missing or cut off, or "skip" all their images.
        partial: whether one class is enough, and classes may be without images.

    Raises:
        InputError: one class, no training images, classes without images, or what `on_bad` refuses.
    """
    faults = folder.faults(index.shards)
    sentences = [f"{url} {reason}" for url, reason in faults.items()]
    if faults and on_bad == "refuse":
        raise InputError(
            f"{name}: {some(sentences, 5)}",
            "whole shards",
            "Fetch or pack these shards again, or set on_bad='skip'",
        )
    if len(index.classes) < 2 and not partial:
        raise InputError(f"{name} has one class, {some(index.classes)}", "at least two classes", "Add other classes")
    by_part = {each.part: each for each in index.parts if each.images}
    splits = {part: _split(index, by_part[part], folder, faults) for part in PARTS if part in by_part}
    if not len(splits.get("train", ())):
        why = f" ({some(sentences, 5)})" * bool(sentences)
        remedy = "Fetch or pack these shards again: skipping them leaves no image" if faults else "Pack a training part"
        raise InputError(f"{name} holds no training images{why}", "whole shards of train", remedy)
    counts = by_part["train"].class_counts
    lacking = [label for label, many in zip(index.classes, counts, strict=True) if not many]
    if lacking and not partial:
        raise InputError(f"{name}: no training image of {some(lacking)}", "images of each class", "Add some")
    images = sum(len(split) for split in splits.values())
    notes = [f"skipped: {some(sentences)}"] * bool(faults)
    shards = counted(len(index.shards) - len(faults), "shard")
    notes.append(f"{counted(images, 'image')} in {shards}, found by their index")
    digest = index.hash() if not faults else _without(index, faults).hash()
    return Dataset(name, index.classes, splits, digest, tuple(notes), location=folder.location)


def _split(index: Index, part: PartIndex, folder: PackedFolder, faults: dict[str, str]) -> Split:
    shards = tuple(shard for shard in index.shards if shard.part == part.part)
    # What is compared and counted takes narrow numbers as well; 100 million labels of int64 would take 0.8 GB.
    labels = cast(Labels, map_labels(folder.index_file(part.labels), part))
    places = folder.index_file(part.places)
    if part.images <= LARGE_IMAGES:
        labels = labels.astype(np.int64)
        if (most := int(labels.max())) >= len(index.classes):
            classes = counted(len(index.classes), "class", "classes")
            raise Damaged(folder.index_file(part.labels), f"label {most} for {classes}")
    images = PackedImages(folder.shards, shards, part, places, large=index.large)
    split = Split(part.part, labels, images)
    if not faults:
        return split
    whole = np.repeat([shard.url not in faults for shard in shards], [shard.nsamples for shard in shards])
    kept = np.flatnonzero(whole)
    return Split(part.part, labels[kept], images.subset(kept))


def _without(index: Index, faults: dict[str, str]) -> Index:
    return Index(index.classes, tuple(shard for shard in index.shards if shard.url not in faults))
