"""Parquet files of images as a data set, refused with reasons."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from residua._base.errors import InputError
from residua._base.words import counted, some
from residua.data.dataset import Dataset, Split
from residua.data.decode.workers import default_workers
from residua.data.parquet.row_groups import ParquetFile, ParquetImages, RowGroups, holds_images, read_file
from residua.data.shards.files import PARQUET, parts_by_name
from residua.data.shards.index import check_files, read_index
from residua.specs.fields import BadPolicy

_NUMBERED = re.compile(r"(?P<head>.+)-(?P<number>\d+)-of-(?P<count>\d+)\.parquet")  # as `datasets` names its files
_MOST_FILES = 100_000  # that are looked for by such names
_NO_LABEL = (None, -1, "")
Readers = Mapping[str, Mapping[str, Callable[[], ParquetFile]]]


def are_parquet(path: Path) -> bool:
    """Return whether a path is a parquet file of images, or a folder of parquet files: its own, or those in data/."""
    if path.is_dir():
        return bool(_files(path)) and not _class_folders(path)
    return path.suffix.lower() == PARQUET and path.is_file() and holds_images(path)


def open_parquet(path: Path, on_bad: BadPolicy = "refuse", *, partial: bool = False) -> Dataset:
    """Open parquet files in the layout that Hugging Face's `datasets` writes, and `residua pack --format parquet`.

    The names of the files state the parts (`train-00000-of-00002.parquet`, `validation-…`, `test-…`). The names of the
    classes come from the metadata of the schema, else from the labels. A part whose labels are all missing or -1,
    as published test parts often are, is left out.

    Args:
        path: a folder, or one file.
        on_bad: "refuse" files that are missing or cut off and images without a label, or "skip" them.
        partial: whether one class is enough: for data that a finished run is judged on.

    Raises:
        InputError: no usable file, one class, no training images, or what `on_bad` refuses; pyarrow is not installed.
    """
    parts = parts_by_name(path, _files(path) if path.is_dir() else [path])
    readers = {part: {file.name: functools.partial(read_file, file) for file in files} for part, files in parts.items()}
    location = str(path.resolve())
    return assemble(str(path), location, readers, _faults(path, parts), on_bad, partial=partial)


def assemble(
    path: str, location: str, readers: Readers, faults: dict[str, str], on_bad: BadPolicy, *, partial: bool
) -> Dataset:
    """Return the data set of parquet files, wherever they come from.

    Args:
        path: of the data, as the user gave it.
        location: what opens it again.
        readers: by part and name: what reads the footer and the labels of a file.
        faults: what is known to be wrong with files, by name; these are not read.
        on_bad, partial: see `open_parquet`.

    Raises:
        InputError: as `open_parquet`.
    """
    notes: list[str] = []
    read: dict[str, list[ParquetFile]] = {}
    with ThreadPoolExecutor(default_workers()) as pool:
        for part, files in readers.items():
            pending = [(name, pool.submit(reader)) for name, reader in files.items() if name not in faults]
            read[part] = []
            for name, future in pending:
                try:
                    read[part].append(future.result())
                except InputError as error:
                    if "pyarrow" in error.given:
                        raise
                    faults[name] = f"cannot be used: {error.given}"
    unlabelled = {part: _unlabelled(files) for part, files in read.items()}
    for part, lost in list(unlabelled.items()):
        if part != "train" and lost and lost == sum(len(file.labels) for file in read[part]):
            notes.append(f"{part} has no labels and was left out")
            del read[part], unlabelled[part]
    sentences = [f"{name} {reason}" for name, reason in faults.items()]
    sentences += [f"{counted(count, f'{part} image')} without a label" for part, count in unlabelled.items() if count]
    if sentences and on_bad == "refuse":
        raise InputError(
            f"{path}: {some(sentences, 5)}",
            "whole files, and a label for each image",
            "Fetch or pack these files again, or set on_bad='skip'",
        )
    notes += [f"skipped: {some(sentences)}"] * bool(sentences)
    classes, numbers = _classes(path, [file for files in read.values() for file in files])
    if len(classes) < 2 and not partial:
        raise InputError(f"{path} has one class, {some(classes)}", "at least two classes", "Add images of others")
    splits = {part: _split(part, files, numbers) for part, files in read.items()}
    splits = {part: split for part, split in splits.items() if len(split)}
    if "train" not in splits:
        raise InputError(f"{path} holds no labelled training images", "files of train", "Check the files")
    lacking = set(range(len(classes))) - set(np.unique(splits["train"].labels).tolist())
    if lacking and not partial:
        names = some(classes[label] for label in sorted(lacking))
        raise InputError(f"{path}: no training image of {names}", "images of each class", "Add files that hold some")
    images = sum(len(split) for split in splits.values())
    notes.append(f"{counted(images, 'image')} in {counted(sum(map(len, read.values())), 'parquet file')}")
    return Dataset(path, classes, splits, _hash(classes, read, splits), tuple(notes), location=location)


def _files(folder: Path) -> list[Path]:
    """Return the parquet files of a folder, or of data/ in it, as repositories of data sets have them."""
    for directory in (folder, folder / "data"):
        if directory.is_dir() and (files := sorted(each for each in directory.iterdir() if each.suffix == PARQUET)):
            return files
    return []


def _class_folders(folder: Path) -> bool:
    names = (each.name for each in folder.iterdir() if each.is_dir())
    return any(name != "data" and not name.startswith(".") for name in names)


def _faults(path: Path, parts: dict[str, list[Path]]) -> dict[str, str]:
    """Return what is wrong with the files by the index of `residua pack`, else by how many their names state."""
    if not path.is_dir():
        return {}
    if index := read_index(path):
        return check_files(path, index.shards)
    names = {file.name for files in parts.values() for file in files}
    numbered = [match for name in sorted(names) if (match := _NUMBERED.fullmatch(name))]
    stated: dict[tuple[str, str, int], set[int]] = {}
    for match in numbered:
        stated.setdefault((match["head"], match["count"], len(match["number"])), set()).add(int(match["number"]))
    missing = [
        f"{head}-{number:0{digits}}-of-{count}{PARQUET}"
        for (head, count, digits), present in sorted(stated.items())
        for first in [int(int(count) in present)]  # some count from 1 on
        for number in range(first, first + min(int(count), _MOST_FILES))
        if number not in present
    ]
    return dict.fromkeys(missing, "is missing")


def _unlabelled(files: Sequence[ParquetFile]) -> int:
    return sum(label in _NO_LABEL for file in files for label in file.labels)


def _classes(path: str, files: Sequence[ParquetFile]) -> tuple[tuple[str, ...], dict[int | str, int]]:
    """Return the names of the classes, and the number of each label that is stated."""
    stated = {label for file in files for label in file.labels if label not in _NO_LABEL and label is not None}
    names = {file.columns.names for file in files if file.columns.names}
    if len(names) > 1:
        raise InputError(f"{path}, whose files name different classes", "the same classes", "Check where they are from")
    named = next(iter(names), ())
    if all(isinstance(label, int) for label in stated):
        whole = sorted(int(label) for label in stated)
        if named and whole and not 0 <= whole[0] <= whole[-1] < len(named):
            raise InputError(
                f"{path}: labels {whole[0]} to {whole[-1]} for {counted(len(named), 'class', 'classes')}",
                "labels from 0 on",
                "Check both",
            )
        if named:
            return named, {label: int(label) for label in stated}
        return tuple(map(str, whole)), {label: number for number, label in enumerate(whole)}
    texts = named or tuple(sorted(map(str, stated)))
    if unknown := sorted(str(label) for label in stated if str(label) not in texts):
        raise InputError(f"{path}: labels {some(unknown)}", f"one of {some(texts)}", "Correct them")
    return texts, {label: texts.index(str(label)) for label in stated}


def _split(part: str, files: Sequence[ParquetFile], numbers: dict[int | str, int]) -> Split:
    stated = [label for file in files for label in file.labels]
    labels = np.array([-1 if label is None else numbers.get(label, -1) for label in stated], np.int64)
    rows = np.flatnonzero(labels >= 0)
    return Split(part, labels[rows], ParquetImages(RowGroups(files), rows))


def _hash(classes: Sequence[str], read: dict[str, list[ParquetFile]], splits: dict[str, Split]) -> str:
    digest = hashlib.sha256("\n".join(classes).encode("utf-8", "surrogateescape"))
    for part, split in splits.items():
        for file in read[part]:
            words = f"\0{part}/{file.path.name}\0{file.path.stat().st_size}\0{file.groups}\0{file.sizes}"
            digest.update(words.encode("utf-8", "surrogateescape"))
        digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()
