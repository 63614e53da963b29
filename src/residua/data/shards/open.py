"""Shards as a data set, refused with reasons."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from residua._base.errors import Damaged, InputError
from residua._base.files import read_regular
from residua._base.words import counted, some
from residua.data.dataset import Dataset, Split
from residua.data.decode.workers import default_workers
from residua.data.shards.files import NAMES_FILE, shard_files
from residua.data.shards.index import INDEX_FILE, Index, check_files, read_index
from residua.data.shards.open_packed import LocalFolder, open_packed
from residua.data.shards.tar import Members, TarImages, read_members
from residua.specs.fields import BadPolicy

_LARGEST_NAMES = 16 << 20  # bytes: names of a million classes


def open_shards(path: Path, on_bad: BadPolicy = "refuse", *, partial: bool = False) -> Dataset:
    """Open tar files in WebDataset's layout; single images are read from them in place.

    The names of the files state the parts. The names of the classes come from `index.json` (`residua pack`), from
    `classes.txt` with a name per line, or from the labels themselves.

    Args:
        path: a folder of tar files, or one file.
        on_bad: "refuse" shards that are missing, cut off or damaged, and images without a label, or "skip" them and
            name them in the notes.
        partial: whether one class is enough: for data that a finished run is judged on.

    Raises:
        InputError: no usable shard, one class, labels beyond the names of the classes, or what `on_bad` refuses.
    """
    folder = path if path.is_dir() else path.parent
    index = read_index(folder)
    if path.is_dir() and index is not None and index.parts and index.large:
        return open_packed(str(path), index, LocalFolder(folder), on_bad, partial=partial)
    parts = shard_files(path)
    bad = _faults(folder, index, parts) if path.is_dir() else {}
    faults = [f"{name} {reason}" for name, reason in bad.items()]
    counts = {shard.url: shard.nsamples for shard in index.shards} if index else {}
    read: dict[str, list[tuple[Path, Members]]] = {}
    with ThreadPoolExecutor(default_workers()) as pool:
        for part, files in parts.items():
            whole = [file for file in files if file.name not in bad]
            read[part] = []
            for file, pending in [(file, pool.submit(read_members, file)) for file in whole]:
                try:
                    members = pending.result()
                except InputError as error:
                    if not path.is_dir():  # skipping it would leave nothing
                        raise
                    faults.append(error.given.removeprefix(f"{file.parent}/"))
                    continue
                read[part].append((file, members))
                if (number := counts.get(file.name, len(members.names))) != len(members.names):
                    faults.append(
                        f"{file.name} holds {len(members.names):,} labelled images; {INDEX_FILE} has {number:,}"
                    )
    for members in (members for pairs in read.values() for _, members in pairs):
        faults += [f"{name} has no label" for name in members.unlabelled]
    if faults and on_bad == "refuse":
        raise InputError(
            f"{path}: {some(faults, 5)}",
            "whole shards, and a label for each image",
            "Fetch or pack these shards again, or set on_bad='skip'",
        )
    notes = [f"skipped: {some(faults)}"] * bool(faults)
    why = f" ({some(faults, 5)})" * bool(faults)
    stated = [label for pairs in read.values() for _, members in pairs for label in members.labels]
    if not stated:
        raise _nothing_left(f"{path} holds no labelled images{why}", "KEY.jpg beside KEY.cls, or in a folder", faults)
    classes, numbers = _classes(path, folder, index, stated)
    if len(classes) < 2 and not partial:
        raise InputError(f"{path} has one class, {classes[0]}", "at least two classes", "Add shards of other classes")
    splits: dict[str, Split] = {}
    digest = hashlib.sha256("\n".join(classes).encode("utf-8", "surrogateescape"))
    for part, pairs in read.items():
        if not any(members.names for _, members in pairs):
            notes.append(f"{part} holds no images and was left out")
            continue
        splits[part] = _split(part, pairs, numbers)
        for file, members in pairs:
            digest.update(f"\0{part}/{file.name}".encode("utf-8", "surrogateescape"))
            for name, label, size in zip(members.names, members.labels, members.sizes, strict=True):
                digest.update(f"\0{name}\0{numbers[label]}\0{size}".encode("utf-8", "surrogateescape"))
    if "train" not in splits:
        raise _nothing_left(f"{path} holds no training images{why}", "shards with images", faults)
    lacking = set(range(len(classes))) - set(np.unique(splits["train"].labels).tolist())
    if lacking and not partial:
        names = some(classes[label] for label in sorted(lacking))
        raise InputError(f"{path}: no training image of {names}", "images of each class", "Add shards that hold some")
    images = sum(len(split) for split in splits.values())
    files_ = sum(len(pairs) for pairs in read.values())
    notes.append(f"{counted(images, 'image')} in {counted(files_, 'tar file')}")
    return Dataset(str(path), classes, splits, digest.hexdigest(), tuple(notes), location=str(path.resolve()))


def _nothing_left(sentence: str, wanted: str, faults: Sequence[str]) -> InputError:
    """Return the error that no images are left, whatever is skipped."""
    if not faults:
        return InputError(sentence, wanted, "Check the path")
    return InputError(sentence, "whole shards", "Fetch or pack these shards again: skipping them leaves too few images")


def _faults(folder: Path, index: Index | None, parts: dict[str, list[Path]]) -> dict[str, str]:
    """Return what is wrong with the files by the index, by name; and which of them it does not list."""
    if index is None:
        return {}
    present = {file.name for files in parts.values() for file in files}
    unlisted = present - {shard.url for shard in index.shards}
    return check_files(folder, index.shards) | dict.fromkeys(sorted(unlisted), f"is not in {INDEX_FILE}")


def _names(folder: Path, index: Index | None) -> tuple[str, ...]:
    """Return the names of the classes in the order of the labels, () where no file states them."""
    file = folder / NAMES_FILE
    if index is not None or not file.is_file():
        return index.classes if index else ()
    try:
        return tuple(read_regular(file, _LARGEST_NAMES).decode("utf-8").rstrip().splitlines())
    except (Damaged, UnicodeDecodeError) as error:
        raise InputError(
            f"{file}, which cannot be read ({error})", "a name of a class per line, in UTF-8", "Correct or remove it"
        ) from None


def _classes(
    path: Path, folder: Path, index: Index | None, stated: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the names of the classes, and the number of each label that is stated."""
    labels = set(stated)
    named = _names(folder, index)
    if all(label.isascii() and label.isdigit() for label in labels):
        most = max(map(int, labels))
        if named and most >= len(named):
            raise InputError(
                f"{path}: label {most} for {counted(len(named), 'class', 'classes')}", "labels from 0 on", "Check both"
            )
        if named:
            return named, {label: int(label) for label in labels}
        ordered = sorted({int(label) for label in labels})
        return tuple(map(str, ordered)), {label: ordered.index(int(label)) for label in labels}
    names = named or tuple(sorted(labels))
    if unknown := sorted(labels - set(names)):
        raise InputError(f"{path}: labels {some(unknown)}", f"one of {some(names)}", f"Correct them, or {NAMES_FILE}")
    return names, {name: number for number, name in enumerate(names)}


def _split(part: str, pairs: Sequence[tuple[Path, Members]], numbers: dict[str, int]) -> Split:
    counts = [len(members.names) for _, members in pairs]
    shards = np.repeat(np.arange(len(pairs), dtype=np.int64), counts)

    def joined(values: list[list[int]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([value for each in values for value in each], np.int64)

    images = TarImages(
        [file for file, _ in pairs],
        shards,
        joined([members.offsets for _, members in pairs]),
        joined([members.sizes for _, members in pairs]),
        [name for _, members in pairs for name in members.names],
    )
    labels = joined([[numbers[label] for label in members.labels] for _, members in pairs])
    return Split(part, labels, images)
