"""Which folders are the parts of a data set, and which are its classes.

A folder is a part by its name, whatever its case and the signs between words:

- `train`, `training` or `trn`;
- `val`, `valid`, `validation`, `dev`, `eval` or `evaluation`;
- `test`, `testing`, `holdout` or `heldout`.

Each stands alone or with `set`, `data`, `images` or `seg`, as in `training_set`, `Test-Images` and `seg_train`. A part
may hold one folder of such a name that holds the classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from residua._base.errors import InputError
from residua._base.run_files import is_run
from residua._base.words import agree, counted, some
from residua.data.listing import Entry, Listing, here, walk

LAYOUT = "a folder of class folders with images, or one with train/ and val/ or test/ that hold such"

_PARTS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "holdout", "heldout"), "test"),
}
# Beside a folder with a plainer name of the same part, these are something else: val/ and eval/, test/ and holdout/.
_GIVES_WAY = ("eval", "hold", "held")
_USUAL = {"train", "val", "valid", "validation", "test"}
_BESIDE = ("set", "data", "dataset", "images", "imgs", "seg")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z", ".rar")
_NUMBERED = re.compile(r"(fold|split|part|set|subset|cv|k|shard)[\W_]*\d+")


@dataclass(frozen=True)
class Part:
    """One part as it stands on the disk.

    Attributes:
        folder: what holds the class folders.
        classes: name -> what its folder holds.
        beside: what stands in `folder` itself, in no class.
    """

    folder: Path
    classes: dict[str, Listing]
    beside: Listing


@dataclass(frozen=True)
class Layout:
    """A data set as it stands on the disk.

    Attributes:
        parts: "train" always; "val" and "test" where they are and hold class folders.
        notes: what was left out and why, sentences.
        unread: of "val" and "test", those that are there and were left out, each with the reason, one of the notes.
        doubt: why the classes may be no classes, a sentence, or "".
        mixed_up: the names leave no doubt that they are none.
    """

    parts: dict[str, Part]
    notes: tuple[str, ...]
    unread: Mapping[str, str]
    doubt: str = ""
    mixed_up: bool = False


def part_named(name: str) -> str:
    """Return "train", "val" or "test" for the name of a folder that is a part, or ""."""
    words = [word for word in re.split(r"[\W_]+", name.casefold()) if word and word not in _BESIDE]
    word = "".join(words)
    if len(words) != 1 and word not in ("holdout", "heldout"):
        return ""
    glued = next((word.removesuffix(end) for end in ("set", "data", "images") if word.removesuffix(end) in _PARTS), "")
    return _PARTS.get(word) or _PARTS.get(glued, "")


def read_layout(path: Path) -> Layout:
    """Find parts and classes, and list what they hold.

    Raises:
        InputError: `path` is no readable folder, has val/ or test/ without train/, or a part twice; there is no
            class folder, links form a loop, or a folder cannot be listed.
    """
    folders = _part_folders(path)
    root = Listing()
    parts: dict[str, Part] = {}
    notes: list[str] = []
    if path not in folders.values():
        entries, inside = _here(path)
        others = [_sized(folder) for folder in inside if folder not in folders.values()]
        if others:
            verbs = agree(
                len(others),
                "is no part of the data by its name and was",
                "are no parts of the data by their names and were",
            )
            notes.append(f"beside {some(folder.name for folder in folders.values())}: {some(others)} {verbs} left out")
        root = Listing.of(entries)
        notes += _beside(root, "train")
    unread: dict[str, str] = {}
    for name, folder in folders.items():
        part = _read_part(_inner(folder, name))
        if part.classes or name == "train":
            parts[name] = part
            continue
        count = counted(len(part.beside.images), "image")
        what = f"{count} without class folders, so without labels," if part.beside.images else "no class folders"
        unread[name] = f"{folder.name} holds {what} and was left out"
        notes.append(unread[name])
    train = parts["train"]
    if is_run(path) and not any(listing.images for listing in train.classes.values()):
        raise InputError(f"{path} is the folder of a run, not of images", LAYOUT, "Name the folder of the images")
    if not train.classes:
        raise InputError(
            f"{train.folder} {_content(train.beside)}",
            LAYOUT,
            "Put the images of each class into a folder of its name",
        )
    whole = Listing(system=root.system, runs=root.runs)
    for name, part in parts.items():
        notes += _beside(part.beside, f"the class folders of {name}")
        whole = sum(part.classes.values(), whole + Listing(system=part.beside.system, runs=part.beside.runs))
    unusual = [f"{folder.name} as {name}" for name, folder in folders.items() if folder.name.lower() not in _USUAL]
    if unusual and path not in folders.values():
        names = agree(len(unusual), "its name", "their names")
        notes.insert(0, f"by {names}, {some(unusual)} {agree(len(unusual), 'was', 'were')} read")
    return Layout(parts, (*notes, *whole.left_out()), unread, *_doubt(train))


def _part_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each part, in the order train, val, test; the folder itself where it holds the classes."""
    _, subfolders = _here(path)
    named: dict[str, list[Path]] = {}
    for folder in subfolders:
        if part := part_named(folder.name):
            named.setdefault(part, []).append(folder)
    train = named.get("train", [])
    if not train and named and sum(map(len, named.values())) == len(subfolders) and _any_holds_folders(named):
        others = some([folder.name for folders in named.values() for folder in folders])
        raise InputError(f"{path} has {others} but no train", LAYOUT, "Name the folder of the part to use")
    # A folder "train" of pictures beside other folders is a class: trains.
    if not train or (len(subfolders) > 1 and _holds_images_only(train[0])):
        return {"train": path}
    for part, folders in named.items():
        plain = [folder for folder in folders if not folder.name.casefold().startswith(_GIVES_WAY)]
        named[part] = folders = plain or folders
        if len(folders) > 1:
            both = " and ".join(folder.name for folder in folders[:2])
            raise InputError(f"{path} has both {both}", "one folder per part", "Merge the two")
    return {part: named[part][0] for part in ("train", "val", "test") if part in named}


def _any_holds_folders(named: Mapping[str, list[Path]]) -> bool:
    return any(_here(folder)[1] for folders in named.values() for folder in folders)


def _holds_images_only(folder: Path) -> bool:
    entries, inside = _here(folder)
    return not inside and bool(entries)


def hidden_classes(train: Part) -> tuple[str, str]:
    """Return what the only class of `train` holds, to be added to its name, and the remedy, where it is no class.

    It is none where it holds no image of its own but folders, or one folder that holds such. Else both are "".
    """
    (name,) = train.classes
    folder = train.folder / name
    while True:
        entries, inside = _here(folder)
        if Listing.of(entries).images or not inside:
            return "", ""
        if len(inside) > 1:
            break
        (folder,) = inside
    names = some((each.name for each in inside), 5)
    return (
        f", and {folder} holds the folders {names}",
        f"If these are the classes or the parts, name the folder {folder}",
    )


def _inner(folder: Path, part: str) -> Path:
    """Return the one folder inside a part's folder that is named as that part is, or else the folder itself."""
    entries, inside = _here(folder)
    nested = len(inside) == 1 and part_named(inside[0].name) == part and not Listing.of(entries).images
    return inside[0] if nested and _here(inside[0])[1] else folder


def _sized(folder: Path) -> str:
    """Return the name of a folder with the number of images in it and below it."""
    return f"{folder.name} ({counted(len(Listing.of(list(walk(folder))).images), 'image')})"


def _content(beside: Listing) -> str:
    """Return what a folder without class folders holds."""
    if beside.images:
        return f"holds {counted(len(beside.images), 'image')} but no class folder"
    if beside.runs:
        return f"holds runs ({some((Path(entry.path).name for entry in beside.runs), 5)}) but no class folder"
    names = [Path(entry.path).name for entry in (*beside.others, *beside.unusable)]
    if packed := [name for name in names if name.lower().endswith(_COMPRESSED)]:
        return f"holds {some(packed, 3)}, whose single images cannot be read before it is unpacked, and no class folder"
    return "holds neither images nor class folders" if beside.others or beside.unusable else "is empty"


def _read_part(folder: Path) -> Part:
    entries, inside = _here(folder)
    listings = {each.name: _read_class(each) for each in inside}
    # A folder without an image that holds runs is where somebody keeps runs.
    outputs = [name for name, listing in listings.items() if listing.runs and not listing.images]
    beside = sum((Listing(runs=listings.pop(name).runs) for name in outputs), Listing.of(entries))
    return Part(folder, listings, beside)


def _read_class(folder: Path) -> Listing:
    entries = list(walk(folder))
    for entry in entries:
        if entry.kind == "loop":
            raise InputError(f"{entry.path} is {entry.detail}", "folders without loops", "Remove the link")
        if entry.kind == "unusable folder":
            raise _unlistable(f"{entry.path} {entry.detail}")
    return Listing.of(entries)


def _here(path: Path) -> tuple[list[Entry], list[Path]]:
    try:
        return here(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", LAYOUT, "Check the path") from None
    except NotADirectoryError:
        raise InputError(f"{path} is a file", LAYOUT, "Give the folder that contains the class folders") from None
    except OSError as error:
        raise _unlistable(f"{path} cannot be listed ({error.strerror})") from None


def _unlistable(subject: str) -> InputError:
    return InputError(subject, "files and folders that can be read", "Correct its permissions or links")


def _beside(beside: Listing, what: str) -> list[str]:
    if not beside.images and not beside.others and not beside.unusable:
        return []
    names = [Path(path).name for path, _ in beside.images]
    names += [Path(entry.path).name for entry in (*beside.unusable, *beside.others)]
    counts = f"{counted(len(beside.images), 'image')} and {counted(len(names) - len(beside.images), 'other file')}"
    return [f"beside {what}, in no class and left out: {counts} ({some(names, 5)})"]


def _doubt(train: Part) -> tuple[str, bool]:
    """Return why the class folders may be parts, or hold all classes each, or ""; and whether that is certain."""
    inside: dict[str, set[str]] = {}
    for name, listing in train.classes.items():
        folder = train.folder / name
        depths = {Path(path).relative_to(folder).parts for path, _ in listing.images}
        inside[name] = {parts[0] for parts in depths if len(parts) > 1}
        if any(len(parts) == 1 for parts in depths):
            return "", False
    if len(inside) < 2:
        return "", False
    every, common = set[str]().union(*inside.values()), set.intersection(*inside.values())
    if not common or 2 * len(common) < len(every):
        return "", False
    names = some(sorted(inside), 5)
    layout = (
        f"the folders {names} of {train.folder} hold no images of their own, but each the folders "
        f"{some(sorted(common), 5)}"
    )
    if (
        all(_NUMBERED.fullmatch(name.casefold()) for name in inside)
        or any(part_named(name) for name in inside)
        or all(part_named(name) for name in common)
    ):
        return f"{layout}: parts of a data set and classes are mixed up", True
    return (
        f"{layout}; they are taken for the classes. If the inner folders are the classes, name one outer folder",
        False,
    )
