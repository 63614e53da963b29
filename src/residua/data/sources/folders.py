"""Folders of class folders, listed and refused with reasons."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from residua._base.errors import InputError
from residua._base.words import some
from residua.data.dataset import BadPolicy, Dataset, Split
from residua.data.decode import FORMATS
from residua.data.image_source import FileImages

EXTENSIONS = frozenset(FORMATS)
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_LAYOUT = "a folder of class folders with images, or one with train/ and val/ or test/ that hold such"


@dataclass(frozen=True)
class Listing:
    """What a class folder holds: images with sizes in bytes, what cannot be listed, a count of the rest."""

    files: tuple[tuple[str, int], ...]
    unlisted: tuple[str, ...]
    ignored: int


def open_folder(path: Path, on_bad: BadPolicy = "refuse") -> Dataset:
    """Open a folder; classes are sorted by name.

    Raises:
        InputError: a file or a missing folder was given, there are no classes or only one, a class folder
            holds no image, links form a loop, something cannot be listed, or the splits differ in their
            classes.
    """
    roots = split_folders(path)
    listings = {name: list_classes(folder) for name, folder in roots.items()}
    classes = _same_classes(path, {name: tuple(listing) for name, listing in listings.items()})
    notes, unlisted = _notes(listings)
    if beside := left_out(path, roots):
        notes.append(f"beside train, {some(beside)} are no parts of the data by their names and were left out")
    if unlisted and on_bad == "refuse":
        raise InputError(
            f"{len(unlisted)} files of {path} cannot be listed: {some(unlisted)}",
            "files that can be read",
            "Mend or delete them, or pass --on-bad skip",
        )
    splits = {}
    digest = hashlib.sha256("\n".join(classes).encode("utf-8", "surrogateescape"))
    for name, listing in listings.items():
        files = [entry for label in classes for entry in listing[label].files]
        counts = [len(listing[label].files) for label in classes]
        empty = [label for label, count in zip(classes, counts, strict=True) if count == 0]
        if empty:
            raise InputError(
                f"{path}: no images in the class folder{'s' * (len(empty) > 1)} {some(empty)} of {name}",
                "at least one image in each class folder (.jpg, .png, .webp …)",
                "Add images, or remove the empty folder",
            )
        labels = np.repeat(np.arange(len(classes)), counts)
        splits[name] = Split(name, labels, FileImages([Path(file) for file, _ in files]))
        for label in classes:
            start = len(str(roots[name] / label))
            for file, size in listing[label].files:
                digest.update(f"\0{name}/{label}{file[start:]}\0{size}".encode("utf-8", "surrogateescape"))
    return Dataset(str(path), classes, splits, digest.hexdigest(), tuple(notes), location=str(path.resolve()))


def split_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each split: {"train": …, "val": …, "test": …}, as far as they exist.

    Raises:
        InputError: `path` is no readable folder, has val/ or test/ without train/, or a split twice.
    """
    subfolders = _subfolders(path)
    named = [folder for folder in subfolders if folder.name.lower() in SPLIT_NAMES]
    train = next((folder for folder in named if folder.name.lower() == "train"), None)
    if train is None and named and len(named) == len(subfolders) and any(_subfolders(folder) for folder in named):
        raise InputError(
            f"{path} has {some([f.name for f in named])} but no train",
            _LAYOUT,
            "Name the folder of the part to use",
        )
    # A folder "train" of pictures beside other folders is a class: trains.
    if train is None or (len(subfolders) > 1 and not _subfolders(train) and any(train.iterdir())):
        return {"train": path}
    found: dict[str, Path] = {}
    for folder in named:
        split = SPLIT_NAMES[folder.name.lower()]
        if split in found:
            raise InputError(
                f"{path} has both {found[split].name} and {folder.name}", "one folder a split", "Merge the two"
            )
        found[split] = folder
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def left_out(path: Path, roots: dict[str, Path]) -> list[str]:
    """Return the names of the folders beside those of the parts, `roots`, which are read as no part."""
    if path in roots.values():
        return []
    return [folder.name for folder in _subfolders(path) if folder not in roots.values()]


def list_classes(folder: Path) -> dict[str, Listing]:
    """Return the listing of each class folder of `folder`, sorted by name.

    Raises:
        InputError: there is no class folder, or links form a loop.
    """
    classes = _subfolders(folder)
    if not classes:
        loose = sum(1 for file in folder.iterdir() if file.suffix.lower() in EXTENSIONS)
        given = f"{folder} holds {loose} images but no class folder" if loose else f"{folder} is empty"
        raise InputError(given, _LAYOUT, "Put the images of each class into a folder of its name")
    return {each.name: _list(each) for each in classes}


def _list(folder: Path) -> Listing:
    files: list[tuple[str, int]] = []
    unlisted: list[str] = []
    ignored = 0
    for entry in _walk(folder, ()):
        try:
            if os.path.splitext(entry.name)[1].lower() not in EXTENSIONS:
                ignored += 1
            elif entry.is_file():
                files.append((entry.path, entry.stat().st_size))
            else:
                unlisted.append(f"{entry.path} (not a regular file, or a broken link)")
        except OSError as error:
            unlisted.append(f"{entry.path} ({error.strerror})")
    files.sort(key=lambda item: item[0].split(os.sep))
    return Listing(tuple(files), tuple(sorted(unlisted)), ignored)


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[os.DirEntry[str]]:
    at = str(folder)
    try:
        status = folder.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise InputError(
                f"{folder} is a link to a folder that contains it", "folders without loops", "Remove the link"
            )
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in ("Thumbs.db", "desktop.ini"):
                    continue
                at = entry.path
                if entry.is_dir():
                    yield from _walk(Path(entry.path), (*above, here))
                else:
                    yield entry
    except OSError as error:
        raise InputError(
            f"{at} cannot be listed ({error.strerror})",
            "files and folders that can be read",
            "Mend its permissions or links",
        ) from None


def _subfolders(path: Path) -> list[Path]:
    try:
        inside = sorted(path.iterdir())
        return [each for each in inside if not each.name.startswith(".") and each.is_dir()]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", _LAYOUT, "Check the path") from None
    except NotADirectoryError:
        raise InputError(f"{path} is a file", _LAYOUT, "Give the folder that contains the class folders") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be listed ({error.strerror})",
            "a folder that can be read",
            "Mend its permissions or links",
        ) from None


def _same_classes(path: Path, classes: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    first = classes["train"]
    for name, others in classes.items():
        if set(others) != set(first):
            only = [f"only in train: {some(sorted(set(first) - set(others)))}"] * bool(set(first) - set(others))
            only += [f"only in {name}: {some(sorted(set(others) - set(first)))}"] * bool(set(others) - set(first))
            raise InputError(
                f"{path}: train and {name} have different classes; {'; '.join(only)}",
                "the same class folders in every part",
                "Add, rename or remove the folders named",
            )
    if len(first) < 2:
        raise InputError(f"{path} has one class, {first[0]}", "at least two classes", "Add a folder for another class")
    return first


def _notes(listings: dict[str, dict[str, Listing]]) -> tuple[list[str], list[str]]:
    every = [listing for split in listings.values() for listing in split.values()]
    unlisted = [name for listing in every for name in listing.unlisted]
    ignored = sum(listing.ignored for listing in every)
    notes = [f"{ignored} files are no images by their extension and were ignored"] * bool(ignored)
    notes += [f"{len(unlisted)} files could not be listed and were skipped: {some(unlisted)}"] * bool(unlisted)
    return notes, unlisted
