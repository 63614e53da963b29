"""Where images and labels come from: one `Dataset` of named splits, whatever the source."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError, did_you_mean
from residua._base.files import check_name
from residua.data.decode import Pixels
from residua.data.random import order

Labels = npt.NDArray[np.int64]
BadPolicy = Literal["refuse", "skip"]
EMBEDDED = ("digits", "cifar10", "cifar100")


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        name: "train", "val" or "test".
        labels: int64 (N,), positions in `Dataset.classes`.
        files: N paths of encoded images, or None.
        pixels: uint8 (N, H, W, 3), RGB, or None. Exactly one of `files` and `pixels` is given.
    """

    name: str
    labels: Labels
    files: tuple[Path, ...] | None = None
    pixels: Pixels | None = None

    def __post_init__(self) -> None:
        if (self.files is None) == (self.pixels is None):
            raise InputError(f"split {self.name!r}", "either files or pixels")
        held = self.files if self.files is not None else self.pixels
        if held is None or len(held) != len(self.labels):
            raise InputError(f"split {self.name!r} with {len(self.labels)} labels", "one label an image")

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, index: int) -> str:
        """Name image `index` for people: its path, or "train[17]"."""
        return str(self.files[index]) if self.files is not None else f"{self.name}[{index}]"

    def subset(self, indices: npt.NDArray[np.int64], name: str | None = None) -> Split:
        """Return the images at `indices`, in that order."""
        return Split(
            name or self.name,
            self.labels[indices],
            None if self.files is None else tuple(self.files[i] for i in indices),
            None if self.pixels is None else self.pixels[indices],
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """Splits with one class list.

    Attributes:
        given: what the user named: "digits", "cifar10", "cifar100" or a folder.
        classes: class names; a label is a position in this tuple.
        splits: "train" always; "val" unless `val_fraction` was 0 and none was given; "test" when there is
            one.
        hash: SHA-256 over classes, labels and pixels; for folders over classes, file names and sizes (not
            over the contents, so that opening a large folder stays quick).
        notes: what was decided while opening, sentences for the report.
        location: the absolute folder or archive folder; "" for embedded data.
        val_fraction: the share of train that became "val" where none was given.
        seed: what the stratified split was drawn with.
        train_images: at most so many images were left in train; 0 for all.
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

    @property
    def held_out(self) -> str:
        """The split to judge a finished run on: "test" if there is one, else "val", else "train"."""
        return next(name for name in ("test", "val", "train") if name in self.splits)

    def describe(self) -> dict[str, Any]:
        """Return what reports print and `reopen` needs, as JSON-able values."""
        return {
            "given": self.given,
            "location": self.location,
            "hash": self.hash,
            "classes": list(self.classes),
            "val_fraction": self.val_fraction,
            "seed": self.seed,
            "train_images": self.train_images,
            "counts": {name: len(split) for name, split in self.splits.items()},
            "class_counts": {
                name: np.bincount(split.labels, minlength=len(self.classes)).tolist()
                for name, split in self.splits.items()
            },
            "notes": list(self.notes),
        }


def open_dataset(
    data: str | Path,
    *,
    data_dir: Path | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
    train_images: int = 0,
    on_bad: BadPolicy = "refuse",
) -> Dataset:
    """Open a data set by name or by folder.

    Args:
        data: "digits", "cifar10", "cifar100", a folder of class folders, or a folder with train/ and
            optionally val/ (or valid/, validation/) and test/, each holding the same class folders.
        data_dir: where the CIFAR archives are looked for and downloaded to.
        val_fraction: share of train, in [0, 1), split off as "val", class by class, when no val part is
            given.
        seed: of that split, and of the images that `train_images` leaves.
        train_images: leave at most so many images in train, as many of each class as there are; 0 for all.
        on_bad: what to do with files that cannot even be listed, such as broken links: "refuse", or "skip"
            and say so in the notes. Files that do not decode are found by the loader.

    Raises:
        InputError: nothing usable is there; the message says what is, and what would be.
    """
    check_name("data", data)
    if not 0 <= val_fraction < 1:
        raise InputError(f"val_fraction={val_fraction}", "a share of the training part in [0, 1)", "Use 0.1")
    if train_images < 0:
        raise InputError(f"train_images={train_images}", "0 for all, or the number of images to train on", "Use 5000")
    if on_bad not in ("refuse", "skip"):
        raise InputError(f"on_bad={on_bad!r}", "'refuse' or 'skip'")
    found = _find(data, data_dir, on_bad)
    whole = _with_validation(dataclasses.replace(found, val_fraction=val_fraction, seed=seed))
    return _thinned(dataclasses.replace(whole, train_images=train_images)) if train_images else whole


def reopen(described: Mapping[str, Any]) -> Dataset:
    """Open the data set that `Dataset.describe` described, with the same splits.

    Raises:
        InputError: it is gone, or it has changed since.
    """
    location, given = str(described["location"]), str(described["given"])
    embedded = given in EMBEDDED
    dataset = open_dataset(
        given if embedded else location,
        data_dir=Path(location) if embedded and location else None,
        val_fraction=float(described["val_fraction"]),
        seed=int(described["seed"]),
        train_images=int(described.get("train_images", 0)),
        on_bad="skip",
    )
    if dataset.hash != described["hash"]:
        raise InputError(
            f"the data at {location or given} has changed since it was recorded "
            f"(hash {dataset.hash[:12]}, recorded {str(described['hash'])[:12]})",
            "the same classes and files",
            "Restore the data, or name the data to use",
        )
    return dataset


def _find(data: str | Path, data_dir: Path | None, on_bad: BadPolicy) -> Dataset:
    name = str(data)
    if name == "digits":
        return _digits()
    if name in ("cifar10", "cifar100"):
        from residua.data.sources.cifar import open_cifar

        return open_cifar(name, data_dir)
    path = Path(data)
    if not path.exists() and not path.is_symlink():
        raise InputError(
            f"{name!r} is neither a folder nor a known data set",
            f"a folder of class folders, or one of {', '.join(EMBEDDED)}",
            did_you_mean(name, EMBEDDED) or "Check the path",
        )
    from residua.data.sources.folders import open_folder

    return open_folder(path, on_bad)


def _digits() -> Dataset:
    table = _digits_table()
    grey = np.round(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    whole = Split("train", table[:, 64].astype(np.int64), pixels=np.repeat(grey, 3, axis=3))
    # The test part is the same for everyone: neither `seed` nor `val_fraction` reaches it.
    kept, held = stratify(whole.labels, 0.2, seed=0)
    return Dataset(
        "digits",
        tuple(str(digit) for digit in range(10)),
        {"train": whole.subset(kept), "test": whole.subset(held, "test")},
        hash_of_pixels(tuple("0123456789"), {"all": whole}),
        ("handwritten digits of 8 × 8 pixels (UCI); the test part is a fixed fifth, class by class",),
    )


def _digits_table() -> npt.NDArray[np.float64]:
    """Return (1797, 65): 64 pixels of 0..16 in reading order, and the digit."""
    package = importlib.util.find_spec("sklearn")
    places = list(package.submodule_search_locations or ()) if package else []
    for place in places:
        # Read beside scikit-learn: importing it takes a second and 60 MB, which nothing else here needs.
        path = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


def _with_validation(dataset: Dataset) -> Dataset:
    if "val" in dataset.splits or dataset.val_fraction == 0:
        return dataset
    train = dataset.splits["train"]
    kept, held = stratify(train.labels, dataset.val_fraction, dataset.seed)
    if len(held) == 0:
        raise InputError(
            f"{dataset.given}: {len(train)} images, none of which can be spared for validation",
            "at least two images in some class",
            "Add images, add a val/ folder, or set val_fraction to 0",
        )
    parts = {"train": train.subset(kept), "val": train.subset(held, "val")}
    absent = set(range(len(dataset.classes))) - set(np.unique(parts["val"].labels).tolist())
    note = (
        f"no validation split was given: {len(held)} of the {len(train)} training images "
        f"({dataset.val_fraction:.0%}, class by class, seed {dataset.seed}) were set aside"
    )
    notes = [*dataset.notes, note]
    if absent:
        notes.append("too few images to validate: " + ", ".join(dataset.classes[c] for c in sorted(absent)))
    ordered = {**parts, **{name: split for name, split in dataset.splits.items() if name != "train"}}
    return dataclasses.replace(dataset, splits=ordered, notes=tuple(notes))


def stratify(labels: Labels, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Split 0..N-1 class by class: (kept, held), each ascending.

    Of a class with n images, round(n · fraction) are held, at least one and at most n - 1; none of a single
    one.
    """
    held: list[npt.NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held.append(members[order(seed, int(label), len(members))[:count]])
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[np.concatenate(held) if held else np.empty(0, np.int64)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _thinned(dataset: Dataset) -> Dataset:
    train = dataset.splits["train"]
    chosen = balanced(train.labels, dataset.train_images, dataset.seed)
    note = f"{len(chosen)} of the {len(train)} training images are used (class by class, seed {dataset.seed})"
    splits = {**dataset.splits, "train": train.subset(chosen)}
    return dataclasses.replace(dataset, splits=splits, notes=(*dataset.notes, note))


def balanced(labels: Labels, count: int, seed: int) -> Labels:
    """Choose at most `count` of 0..N-1, as many of each class as there are: ascending positions.

    Classes with too few images give all, and the others more; what does not divide goes to the first classes. More
    images include fewer: what is chosen of a class is the beginning of one order, which the seed decides.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    shares = [0] * len(members)
    left = min(count, len(labels))
    while left:
        open_classes = [place for place, found in enumerate(members) if shares[place] < len(found)]
        each = max(left // len(open_classes), 1)
        for place in open_classes[:left]:
            more = min(each, len(members[place]) - shares[place])
            shares[place] += more
            left -= more
    chosen = [
        found[order(seed, int(labels[found[0]]), len(found))[:share]]
        for found, share in zip(members, shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def hash_of_pixels(classes: Sequence[str], splits: Mapping[str, Split]) -> str:
    """Return the SHA-256 over class names, labels and pixels of splits that hold pixels."""
    digest = hashlib.sha256("\n".join(classes).encode())
    for name, split in sorted(splits.items()):
        digest.update(f"\0{name}\0{len(split)}\0".encode())
        digest.update(split.labels.astype("<i8").tobytes())
        if split.pixels is not None:
            digest.update(np.ascontiguousarray(split.pixels).data)
    return digest.hexdigest()
