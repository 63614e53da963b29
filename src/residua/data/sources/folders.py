"""A folder of class folders as a data set, refused with reasons."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from residua._base.errors import InputError
from residua._base.words import counted, some
from residua.data.dataset import Dataset, Split
from residua.data.image_source import FileImages
from residua.data.sources.parts import LAYOUT, Layout, Part, hidden_classes, read_layout
from residua.specs.fields import BadPolicy


def open_folder(path: Path, on_bad: BadPolicy = "refuse", *, partial: bool = False) -> Dataset:
    """Open a folder; classes are sorted by name.

    A val or test part may lack classes of train; the notes name them.

    Args:
        path: the folder.
        on_bad: "refuse" files that cannot even be listed, or "skip" them and name them in the notes.
        partial: whether one class is enough, and class folders may be empty: for data that a finished run is
            judged on.

    Raises:
        InputError: a file or a missing folder was given; there are no classes or only one; a class folder of train
            holds no image; links form a loop; something cannot be listed; a part has classes that train lacks; folders
            look like parts and not like classes.
    """
    layout = read_layout(path)
    if layout.mixed_up:
        raise InputError(
            layout.doubt,
            LAYOUT,
            "Name the folder of one part, or arrange the parts as train/, val/ and test/, each with the class folders",
        )
    train = layout.parts["train"]
    notes = [*layout.notes, *[layout.doubt] * bool(layout.doubt), *_unusable(path, layout, on_bad)]
    held = {
        name: {label: listing for label, listing in part.classes.items() if listing.images}
        for name, part in layout.parts.items()
    }
    empty = sorted(train.classes.keys() - held["train"].keys())
    if empty and not (partial and held["train"]):
        raise InputError(
            f"{path}: no images in the class folder{'s' * (len(empty) > 1)} {some(empty)} of train",
            "at least one image in each class folder (.jpg, .png, .webp …)",
            "Add images, or remove the empty folder",
        )
    if empty:
        notes.append(f"no images of {some(empty)}")
    classes = tuple(held["train"])
    _refuse_lookalikes(path, classes)
    if len(classes) < 2 and not partial:
        nested, remedy = hidden_classes(train)
        raise InputError(
            f"{path} has one class, {classes[0]}{nested}",
            "at least two classes",
            remedy or "Add a folder for each further class",
        )
    splits: dict[str, Split] = {}
    unread = dict(layout.unread)
    digest = hashlib.sha256("\n".join(classes).encode("utf-8", "surrogateescape"))
    for name, part in layout.parts.items():
        if name != "train":
            remarks = _compared(path, name, part, held[name].keys(), classes)
            notes += remarks
            if remarks and not held[name].keys() & set(classes):
                unread[name] = remarks[0]
        present = [label for label in classes if label in held[name]]
        if not present:
            continue
        files = [entry for label in present for entry in held[name][label].images]
        counts = [len(held[name][label].images) for label in present]
        labels = np.repeat([classes.index(label) for label in present], counts)
        splits[name] = Split(name, labels, FileImages([Path(file) for file, _ in files]))
        for label in present:
            start = len(str(part.folder / label))
            for file, size in held[name][label].images:
                digest.update(f"\0{name}/{label}{file[start:]}\0{size}".encode("utf-8", "surrogateescape"))
    return Dataset(
        str(path), classes, splits, digest.hexdigest(), tuple(notes), location=str(path.resolve()), unread=unread
    )


def _unusable(path: Path, layout: Layout, on_bad: BadPolicy) -> list[str]:
    listings = [listing for part in layout.parts.values() for listing in part.classes.values()]
    names = sorted(f"{entry.path} ({entry.detail})" for listing in listings for entry in listing.unusable)
    if names and on_bad == "refuse":
        raise InputError(
            f"{counted(len(names), 'file')} of {path} cannot be read: {some(names)}",
            "files that can be read",
            "Correct or delete them, or set on_bad='skip'",
        )
    count = counted(len(names), "file cannot be read and was", "files cannot be read and were")
    return [f"{count} skipped: {some(names)}"] * bool(names)


def _compared(path: Path, name: str, part: Part, held: Iterable[str], classes: tuple[str, ...]) -> list[str]:
    """Return what a part lacks, a sentence; refuse classes that train does not have."""
    held = set(held)
    if unknown := sorted(held - set(classes)):
        _refuse_lookalikes(path, (*classes, *unknown))
        if name == "test" and not held & set(classes):
            return [f"{part.folder.name} holds no class of train but {some(unknown)}, so no labels, and was left out"]
        missing = sorted(set(classes) - held)
        only = [f"only in train: {some(missing)}"] * bool(missing) + [f"only in {name}: {some(unknown)}"]
        raise InputError(
            f"{path}: train and {name} have different classes; {'; '.join(only)}",
            f"in {name} no class that train does not have",
            "Add, rename or remove the folders named",
        )
    if not held:
        return [f"{part.folder.name} holds no images and was left out"]
    absent = [label for label in classes if label not in held]
    return [f"{name} has no images of {some(absent)}"] * bool(absent)


def _refuse_lookalikes(path: Path, names: Iterable[str]) -> None:
    """Refuse names that look the same, and differ in how Unicode composes their letters."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise InputError(
                f"{path} has two classes {name}, which differ in Unicode normal form only: {other!a} and {name!a}",
                "one spelling per class (macOS and some archives take letters and accents apart)",
                "Rename the folders of one spelling",
            )
