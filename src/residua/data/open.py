"""Open a data set by name or by folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import InputError, did_you_mean
from residua._base.files import check_name
from residua._base.public import is_address, public_address
from residua._base.words import agree, counted, some
from residua.data.corrections import Corrections, correct
from residua.data.dataset import EMBEDDED, Dataset
from residua.data.parquet.open import are_parquet, open_parquet
from residua.data.parquet.remote import open_remote
from residua.data.shards.files import are_shards
from residua.data.shards.open import open_shards
from residua.data.sources.cifar import open_cifar
from residua.data.sources.digits import open_digits
from residua.data.sources.folders import open_folder
from residua.data.sources.table import open_table
from residua.data.splitting import balanced, check_folds, counts_of
from residua.data.tables.label_table import ColumnNames, LabelTable, label_table
from residua.specs.fields import BadPolicy, checked


def open_dataset(
    data: str | Path,
    *,
    data_dir: Path | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
    train_images: int = 0,
    on_bad: BadPolicy = "refuse",
    partial: bool = False,
    corrections: Corrections | None = None,
    labels: str | Path | None = None,
    columns: ColumnNames = None,
) -> Dataset:
    """Open a data set by name or by folder.

    Args:
        data: "digits", "cifar10", "cifar100", a folder of class folders, or a folder with train/ and
            optionally val/ and test/ that hold such; other usual names of parts are in
            `residua.data.sources.parts`; tar files in WebDataset's layout (`residua.data.shards`), or parquet
            files in Hugging Face's; the address of a folder that `residua pack` wrote. With `labels`, a folder of
            images.
        data_dir: where the CIFAR archives are looked for and downloaded to.
        val_fraction: share of train, in [0, 1), split off as "val", class by class, when no val part is
            given.
        seed: of that split, and of the images that `train_images` leaves.
        train_images: leave at most so many images in train, as many of each class as there are; 0 for all.
        on_bad: what to do with files that cannot even be listed, such as broken links: "refuse", or "skip"
            and name them in the notes. Files that do not decode are found by the loader.
        partial: whether a folder may hold one class only, and empty class folders: for data that a finished run is
            judged on.
        corrections: of labels; the parts are drawn by the labels that the data has.
        labels: a table with a row per image, CSV or parquet: `path,label[,split][,group]`. Paths are relative to `data`
            or to the table. A label "a;b" in any row makes data of several labels an image.
        columns: names of its columns by role, such as "path=image_id,label=breed"; usual names are recognised.
            "labels=a;b" names columns of 0 and 1, one per label.

    Raises:
        InputError: nothing usable is there, or corrections that do not fit; the message names what is there and what
            would do.
    """
    return open_data(
        data,
        label_table(labels, columns),
        data_dir=data_dir,
        val_fraction=val_fraction,
        seed=seed,
        train_images=train_images,
        on_bad=on_bad,
        partial=partial,
        corrections=corrections,
    )


def open_data(
    data: str | Path,
    table: LabelTable | None = None,
    *,
    data_dir: Path | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
    train_images: int = 0,
    on_bad: BadPolicy = "refuse",
    partial: bool = False,
    corrections: Corrections | None = None,
    folds: int = 0,
    fold: int = 0,
    multilabel: bool | None = None,
) -> Dataset:
    """Open a data set whose labels come from the names of folders, or from a table; see `open_dataset`.

    Args:
        data, table, data_dir, val_fraction, seed, train_images, on_bad, partial, corrections: as for `open_dataset`.
        folds: divide the training images into so many, by the seed; 0 for none.
        fold: the one that becomes "val", from 1, in place of a share of each class.
        multilabel: whether an image may have several labels; None: where the table states several of some image.

    Raises:
        InputError: as `open_dataset`; folds beside a validation part; classes that folds would part from training.
    """
    check_name("data", data)
    if not 0 <= val_fraction < 1:
        raise InputError(f"val_fraction={val_fraction}", "a share of the training part in [0, 1)", "Use 0.1")
    if train_images < 0:
        raise InputError(f"train_images={train_images}", "0 for all, or the number of images to train on", "Use 5000")
    checked("on_bad", on_bad, BadPolicy)
    dataset = _find(data, table, data_dir, on_bad, partial, multilabel)
    settled = dataclasses.replace(dataset, val_fraction=val_fraction, seed=seed, folds=folds, fold=fold)
    whole = _folded(settled) if folds else _with_validation(settled)
    whole = correct(whole, corrections) if corrections and corrections.labels else whole
    return _thinned(dataclasses.replace(whole, train_images=train_images)) if train_images else whole


def reopen(described: Mapping[str, Any]) -> Dataset:
    """Open the data set that `Dataset.describe(full=True)` described, with the same splits.

    Raises:
        InputError: its location is not recorded; it is gone, or it has changed since.
    """
    location, name = str(described.get("location") or ""), str(described["given"])
    embedded = name in EMBEDDED
    if not location and not embedded:
        raise InputError(
            f"{name}, whose place on this machine is not recorded", "the folder of the data", "Name the data to use"
        )
    dataset = open_data(
        name if embedded else location,
        recorded_table(described),
        data_dir=Path(location) if embedded and location else None,
        val_fraction=float(described["val_fraction"]),
        seed=int(described["seed"]),
        train_images=int(described.get("train_images", 0)),
        folds=int(described.get("folds", 0)),
        fold=int(described.get("fold", 0)),
        on_bad="skip",
        corrections=Corrections(described.get("corrections", {})),
        multilabel=True if described.get("multilabel") else None,
    )
    if dataset.hash != described["hash"]:
        raise InputError(
            f"the data at {location or name} has changed since it was recorded "
            f"(hash {dataset.hash[:12]}, recorded {str(described['hash'])[:12]})",
            "the same classes and files",
            "Restore the data, or name the data to use",
        )
    return dataset


def recorded_table(described: Mapping[str, Any]) -> LabelTable | None:
    """Return the table that a described data set was opened with, None for none; its file is named as described."""
    stated = described.get("table")
    return LabelTable(str(stated["file"]), **stated["columns"]) if stated else None


def whole_of(dataset: Dataset) -> Dataset:
    """Open a data set again with the parts that it has of its own: nothing is set aside, nothing left out."""
    embedded = dataset.location and not Path(dataset.given).exists()
    return open_data(
        dataset.given,
        recorded_table(dataset.describe(full=True)),
        data_dir=Path(dataset.location) if embedded else None,
        val_fraction=0.0,
        on_bad="skip",
        multilabel=True if dataset.multilabel else None,
    )


def refuse_labels(table: LabelTable, name: str) -> None:
    """Refuse a table beside a data set that has labels.

    Raises:
        InputError: `name` is that of an embedded data set.
    """
    if name in EMBEDDED:
        raise InputError(
            f"labels={table.file} for {name}, which has labels",
            "a folder of images for the labels of a table",
            "Leave labels=… out",
        )


def _find(
    data: str | Path,
    table: LabelTable | None,
    data_dir: Path | None,
    on_bad: BadPolicy,
    partial: bool,
    multilabel: bool | None,
) -> Dataset:
    name = str(data)
    if is_address(data):
        return _find_remote(name, table, on_bad, partial)
    if table is not None:
        refuse_labels(table, name)
        return open_table(Path(data), table, on_bad, partial=partial, multilabel=multilabel)
    if multilabel:
        raise InputError(
            f"{name}, whose images have one label each by their folders",
            "a table that states every label of each image",
            "Name it: labels=FILE.csv",
        )
    if name == "digits":
        return open_digits()
    if name in ("cifar10", "cifar100"):
        return open_cifar(name, data_dir)
    path = Path(data)
    if are_shards(path):
        return open_shards(path, on_bad, partial=partial)
    if are_parquet(path):
        return open_parquet(path, on_bad, partial=partial)
    if path.suffix.lower() in (".csv", ".tsv", ".parquet") and path.is_file():
        raise InputError(
            f"{name}, which is a table", "a folder of images", f"Name the folder, and the table as labels={name}"
        )
    if not path.exists() and not path.is_symlink():
        raise InputError(
            f"{name!r} is neither a folder nor a known data set",
            f"a folder of class folders, or one of {', '.join(EMBEDDED)}",
            did_you_mean(name, EMBEDDED) or "Check the path",
        )
    return open_folder(path, on_bad, partial=partial)


def _find_remote(url: str, table: LabelTable | None, on_bad: BadPolicy, partial: bool) -> Dataset:
    if table is not None:
        raise InputError(
            f"labels={table.file} for {public_address(url)}, which has labels",
            "a folder of images on this machine for the labels of a table",
            "Leave labels=… out",
        )
    return open_remote(url, on_bad, partial=partial)


def _with_validation(dataset: Dataset) -> Dataset:
    if "val" in dataset.splits or dataset.val_fraction == 0:
        return dataset
    train = dataset.splits["train"]
    several = dataset.multilabel
    kept, held = dataset.holdout.draw(train.labels, train.groups)
    if len(held) == 0:
        raise InputError(
            f"{dataset.given}: {counted(len(train), 'image')}, none of which can be spared for validation",
            "at least two images in some class" if train.groups is None else "classes that stand in several groups",
            "Add images, add a val/ folder, or set val_fraction to 0",
        )
    parts = {"train": train.subset(kept), "val": train.subset(held, "val")}
    absent = np.flatnonzero(counts_of(parts["val"].labels, len(dataset.classes)) == 0)
    how = "each label by its share" if several else "class by class"
    if train.groups is not None:
        how = f"whole groups, {'labels' if several else 'classes'} as even as they allow"
    share = _share(len(held) / len(train), dataset.val_fraction)
    note = (
        f"no validation split was given: {len(held)} of the {counted(len(train), 'training image')} "
        f"({share}, {how}, seed {dataset.seed}) {agree(len(held), 'was', 'were')} set aside"
    )
    notes = [*dataset.notes, note]
    if len(absent):
        notes.append("too few images to validate: " + ", ".join(dataset.classes[c] for c in absent.tolist()))
    ordered = {**parts, **{name: split for name, split in dataset.splits.items() if name != "train"}}
    return dataclasses.replace(dataset, splits=ordered, notes=tuple(notes))


def _share(held: float, wanted: float) -> str:
    """Return "10%", or "13% for val_fraction 10%" where whole images and groups come no nearer."""
    share, asked = f"{held:.0%}", f"{wanted:.0%}"
    return share if share == asked else f"{share} for val_fraction {asked}"


def _folded(dataset: Dataset) -> Dataset:
    if "val" in dataset.splits:
        raise InputError(
            f"folds={dataset.folds} of {dataset.given}, which has a validation part",
            "training images alone, of which each fold validates once",
            "Put both parts into one, or leave folds out",
        )
    train = dataset.splits["train"]
    check_folds(train.labels, train.groups, dataset.folds, dataset.classes)
    kept, held = dataset.holdout.draw(train.labels, train.groups)
    how = "class by class" if train.groups is None else "whole groups, classes as even as they allow"
    note = (
        f"fold {dataset.fold} of {dataset.folds} is held out: {len(held):,} of the "
        f"{counted(len(train), 'training image')} ({how}, seed {dataset.seed})"
    )
    parts = {"train": train.subset(kept), "val": train.subset(held, "val")}
    others = {name: split for name, split in dataset.splits.items() if name != "train"}
    return dataclasses.replace(dataset, splits={**parts, **others}, notes=(*dataset.notes, note))


def _thinned(dataset: Dataset) -> Dataset:
    train = dataset.splits["train"]
    present = int((counts_of(train.labels, len(dataset.classes)) > 0).sum())
    if dataset.train_images < present:
        raise InputError(
            f"train_images={dataset.train_images}",
            f"at least one image of each of the {present} classes",
            f"Use {10 * present}, or 0 for all",
        )
    chosen = balanced(train.labels, dataset.train_images, dataset.seed)
    counts = zip(
        counts_of(train.labels, len(dataset.classes)),
        counts_of(train.labels[chosen], len(dataset.classes)),
        strict=True,
    )
    if lost := [name for name, (had, has) in zip(dataset.classes, counts, strict=True) if had and not has]:
        raise InputError(
            f"train_images={dataset.train_images}, which leaves no image of {some(lost)}",
            "at least one image of each label",
            f"Use {10 * dataset.train_images}, or 0 for all",
        )
    images = counted(len(train), "training image")
    how = "each label by its share" if dataset.multilabel else "class by class"
    note = f"{len(chosen)} of the {images} {agree(len(chosen), 'is', 'are')} used ({how}, seed {dataset.seed})"
    splits = {**dataset.splits, "train": train.subset(chosen)}
    return dataclasses.replace(dataset, splits=splits, notes=(*dataset.notes, note))
