"""Labelled images in named parts: one `Dataset` whatever the source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import InputError
from residua._base.public import public_name, public_within
from residua._base.words import counted
from residua.data.decode import Pixels
from residua.data.image_source import ImageSource
from residua.data.splitting import Holdout, Labels, counts_of

EMBEDDED = ("digits", "cifar10", "cifar100")
CHIRAL = ("digits",)  # a mirrored image shows no member of its class


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        name: "train", "val" or "test".
        labels: int64 (N,), positions in `Dataset.classes`; or (N, K), 1 for each label that an image has, else 0, where
            it may have several.
        images: N images.
        drawn: the part that they were drawn from, and their positions in it; None for a part as it stands.
        groups: int64 (N,), numbers of what belongs together; None where nothing does.
    """

    name: str
    labels: Labels
    images: ImageSource
    drawn: tuple[str, Labels] | None = field(default=None, repr=False)
    groups: Labels | None = None

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise InputError(
                f"split {self.name!r} with {counted(len(self.images), 'image')} and "
                f"{counted(len(self.labels), 'label')}",
                "one label per image",
                "Give labels that are as long as the images",
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Pixels, int | Labels]:
        """Return image `index` as uint8 (H, W, 3), RGB, and its label.

        The label is a number, or int64 (K,) where an image may have several. With `__len__` this makes a part a
        map-style data set of torch's DataLoader, and a random-access data source of grain.

        Raises:
            IndexError: there are fewer images.
            BadImage: it does not decode.
        """
        position = range(len(self))[index]
        label = self.labels[position]
        return self.images.read(position), np.array(label, np.int64) if self.multilabel else int(label)

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.labels.ndim == 2

    def where(self, index: int) -> str:
        """Name image `index` for people: its path, or "train[17]"."""
        return self.images.where(index) or f"{self.name}[{index}]"

    def subset(self, indices: Labels, name: str | None = None) -> Split:
        """Return the images at `indices`, in that order."""
        part, places = self.drawn or (self.name, np.arange(len(self)))
        groups = None if self.groups is None else self.groups[indices]
        images = self.images.subset(indices)
        return Split(name or self.name, self.labels[indices], images, (part, places[indices]), groups)

    def source(self, index: int) -> str:
        """Name image `index` the same in every subset: its path, or part and position before any were drawn."""
        part, places = self.drawn or (self.name, None)
        return self.images.where(index) or f"{part}[{index if places is None else places[index]}]"


@dataclass(frozen=True)
class TableRecord:
    """What identifies the table that the labels come from.

    Attributes:
        file: its absolute path.
        sha256: of its bytes.
        columns: role -> name of the column.
    """

    file: str
    sha256: str
    columns: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {"file": self.file, "sha256": self.sha256, "columns": dict(self.columns)}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Splits with one class list.

    Attributes:
        given: what the user named: "digits", "cifar10", "cifar100" or a folder.
        classes: class names; a label is a position in this tuple.
        splits: "train" always; "val" unless `val_fraction` was 0 and none was given; "test" when there is
            one.
        hash: SHA-256 over classes, labels and pixels; for folders over classes, file names and sizes (not
            over the contents, so that opening a large folder stays quick); with a table over its rows too.
        notes: what was decided while opening, sentences for the report.
        location: the absolute folder or archive folder; "" for embedded data.
        val_fraction: the share of train that became "val" where none was given.
        seed: what the stratified split was drawn with.
        folds: the training images were divided into so many folds; 0 for none.
        fold: the one that became "val", from 1.
        train_images: at most so many images were left in train; 0 for all.
        corrections: label by name of the images whose labels were corrected, "" for those left out.
        unread: of "val" and "test", those that are there and were left out, each with the reason, a sentence.
        table: where the labels come from, None for the folders' names.
    """

    given: str
    classes: tuple[str, ...]
    splits: dict[str, Split]
    hash: str
    notes: tuple[str, ...] = ()
    location: str = ""
    val_fraction: float = 0.1
    seed: int = 0
    train_images: int = 0
    folds: int = 0
    fold: int = 0
    corrections: Mapping[str, str] = field(default_factory=dict, repr=False)
    unread: Mapping[str, str] = field(default_factory=dict)
    table: TableRecord | None = None

    @property
    def holdout(self) -> Holdout:
        """Which images of the training part became "val" where none was given."""
        return Holdout(self.val_fraction, self.seed, self.folds, self.fold)

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several labels, or none."""
        return any(split.multilabel for split in self.splits.values())

    @property
    def held_out(self) -> str:
        """The split to judge a finished run on: "test" if there is one, else "val", else "train"."""
        return next(name for name in ("test", "val", "train") if name in self.splits)

    @property
    def name(self) -> str:
        """What others read: the name of the data set, or the last part of its path."""
        return _name(self.given, self.location)

    def relative(self, text: str) -> str:
        """Return a text with the files of this data set named relative to its folder."""
        return public_within(text, (self.given, self.location), self.name)

    def image_name(self, split: Split, index: int) -> str:
        """Return the name of an image that stands wherever the data lies, "/" between folders."""
        source = split.source(index)
        for root in filter(None, (self.given, self.location)):
            if Path(source).is_relative_to(root):
                return Path(source).relative_to(root).as_posix()
        return source

    def describe(self, *, full: bool = False) -> dict[str, Any]:
        """Return what reports print and `reopen` needs, as JSON-able values.

        Args:
            full: with places on this machine, which are left out of whatever others read; see `public_description`.
        """
        described = {
            "given": self.given,
            "location": self.location,
            "hash": self.hash,
            "classes": list(self.classes),
            "val_fraction": self.val_fraction,
            "seed": self.seed,
            "train_images": self.train_images,
            "counts": {name: len(split) for name, split in self.splits.items()},
            "class_counts": {
                name: counts_of(split.labels, len(self.classes)).tolist() for name, split in self.splits.items()
            },
            "notes": list(self.notes),
            **({"folds": self.folds, "fold": self.fold} if self.folds else {}),
            **({"corrections": dict(self.corrections)} if self.corrections else {}),
            **({"table": self.table.to_dict()} if self.table else {}),
            **({"multilabel": True} if self.multilabel else {}),
        }
        return described if full else public_description(described)


def public_description(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a data set for others: no `location`, and paths relative to the data.

    What is described may come from a bundle that an older version wrote.
    """
    argument, location = str(described.get("given", "")), str(described.get("location") or "")
    kept = {key: value for key, value in described.items() if key != "location"}
    if "given" in kept:
        kept["given"] = _name(argument, location)
    if "table" in kept:
        kept["table"] = kept["table"] | {"file": public_name(kept["table"]["file"])}
    if "notes" in kept:
        name = _name(argument, location)
        kept["notes"] = [public_within(str(note), (argument, location), name) for note in kept["notes"]]
    return kept


def _name(argument: str, location: str) -> str:
    return public_name(argument if argument in EMBEDDED else location or argument)


def hash_of_pixels(classes: Sequence[str], splits: Mapping[str, Split]) -> str:
    """Return the SHA-256 over class names, labels and pixels of splits that hold decoded images."""
    digest = hashlib.sha256("\n".join(classes).encode())
    for name, split in sorted(splits.items()):
        digest.update(f"\0{name}\0{len(split)}\0".encode())
        digest.update(split.labels.astype("<i8").tobytes())
        if split.images.pixels is not None:
            digest.update(np.ascontiguousarray(split.images.pixels).data)
    return digest.hexdigest()
