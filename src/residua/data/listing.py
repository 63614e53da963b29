"""What a folder holds: one walk for training, checking and prediction, in which nothing is left out uncounted."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from residua._base.words import counted, some
from residua.data.decode import FORMATS
from residua.data.decode.formats import format_of

EXTENSIONS = frozenset(FORMATS)
"""Endings of files that are taken for images, in lower case."""

LEFT_BY_SYSTEMS = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin"}
    | {"system volume information", "lost+found", "__pycache__"}
)
"""Names, in lower case, of what Windows, macOS and network storage put into folders of photos; hidden names beside."""

# What a run writes (`residua.training`), of which a run that has just begun has the lock alone.
_RUN_MODEL, _RUN_LOCK, _RUN_CHECKPOINTS = "model.safetensors", ".lock", "checkpoints"

# First bytes that a text file may have by chance, or that are guessed from a header without a signature.
_UNCERTAIN = {"", "PPM", "TGA", "BMP"}
_KINDS = (
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)
Kind = Literal["image", "other", "unusable file", "unusable folder", "loop", "system", "run"]


@dataclass(frozen=True)
class Entry:
    """Something that stands in a folder.

    Attributes:
        path: the file or folder.
        kind: "image"; "other", a file that is none; "unusable file", which its ending calls an image; "unusable
            folder"; "loop", a link to a folder that contains it; "system", left by an operating system or a tool;
            "run", a folder that training wrote.
        detail: of an "other", its ending or what it is; of the unusable, the reason.
        size: of an image, bytes.
    """

    path: str
    kind: Kind
    detail: str = ""
    size: int = 0


@dataclass(frozen=True)
class Listing:
    """The entries of a folder, by kind.

    Attributes:
        images: path and size in bytes of each, sorted by the parts of the path.
        others: files that are no images by their ending.
        unusable: what looks like an image and is no readable file, with the reason.
        system: what operating systems and tools left.
        runs: folders that training wrote.
    """

    images: tuple[tuple[str, int], ...] = ()
    others: tuple[Entry, ...] = ()
    unusable: tuple[Entry, ...] = ()
    system: tuple[Entry, ...] = ()
    runs: tuple[Entry, ...] = ()

    @staticmethod
    def of(entries: list[Entry]) -> Listing:
        """Sort entries by kind; folders that cannot be listed, and loops, count as unusable."""

        def each(*kinds: Kind) -> tuple[Entry, ...]:
            return tuple(entry for entry in entries if entry.kind in kinds)

        images = sorted(((entry.path, entry.size) for entry in each("image")), key=lambda item: item[0].split(os.sep))
        unusable = each("unusable file", "unusable folder", "loop")
        return Listing(tuple(images), each("other"), unusable, each("system"), each("run"))

    def __add__(self, more: Listing) -> Listing:
        return Listing(
            self.images + more.images,
            self.others + more.others,
            self.unusable + more.unusable,
            self.system + more.system,
            self.runs + more.runs,
        )

    def left_out(self) -> list[str]:
        """Return a sentence per kind of entry that is not data: other files, traces of systems and tools, runs."""
        sentences = []
        if self.others:
            what = counted(len(self.others), "file is no image by its ending", "files are no images by their ending")
            sentences.append(f"{what}: {by_ending(self.others)}")
        if self.system:
            names = Counter(os.path.basename(entry.path) + entry.detail for entry in self.system)
            sentences.append("left by systems or tools, and no data: " + some(_times(names), 8))
        if self.runs:
            sentences.append("written by training, and no data: " + some(entry.path for entry in self.runs))
        return sentences


def walk(folder: Path | str) -> Iterator[Entry]:
    """Yield what stands in a folder and below it: of each folder the files, sorted by name, and then its folders.

    Links are followed. Named pipes, sockets and devices are named, never opened.
    """
    yield from _walk(str(folder), ())


def here(folder: Path | str) -> tuple[list[Entry], list[Path]]:
    """List one folder: return its entries, and its sub-folders that may hold images, each sorted by name.

    Raises:
        OSError: it cannot be listed.
    """
    entries: list[Entry] = []
    folders: list[Path] = []
    with os.scandir(folder) as scanned:
        for each in sorted(scanned, key=lambda each: each.name):
            entry = _classified(each)
            if entry is None and is_run(each.path):
                entry = Entry(each.path, "run")
            if entry is None:
                folders.append(Path(each.path))
            else:
                entries.append(entry)
    return entries, folders


def by_ending(entries: tuple[Entry, ...]) -> str:
    """Return counts by ending, each with an example: "12 .txt (such as notes.txt), 1 without ending (such as IMG)"."""
    counts = Counter(entry.detail for entry in entries)
    examples = {entry.detail: os.path.basename(entry.path) for entry in reversed(entries)}
    return some(f"{count} {kind} (such as {examples[kind]})" for kind, count in counts.most_common())


def _walk(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
    try:
        status = os.stat(folder)
        this = (status.st_dev, status.st_ino)
        if this in above:
            yield Entry(folder, "loop", "a link to a folder that contains it")
            return
        entries, folders = here(folder)
    except OSError as error:
        yield Entry(folder, "unusable folder", f"cannot be listed ({error.strerror})")
        return
    yield from entries
    for each in folders:
        yield from _walk(str(each), (*above, this))


def _classified(entry: os.DirEntry[str]) -> Entry | None:
    """Return what an entry is, or None for a folder."""
    try:
        is_folder = entry.is_dir()
    except OSError:  # A link to itself.
        is_folder = False
    if entry.name.startswith(".") or entry.name.lower() in LEFT_BY_SYSTEMS:
        return Entry(entry.path, "system", "/" * is_folder)
    if is_folder:
        return None
    ending = os.path.splitext(entry.name)[1].lower()
    named = ending in EXTENSIONS
    try:
        status = entry.stat()
    except OSError as error:
        reason = "a broken link" if isinstance(error, FileNotFoundError) and entry.is_symlink() else error.strerror
        return Entry(entry.path, "unusable file" if named else "other", str(reason))
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for test, kind in _KINDS if test(status.st_mode)), "special file")
        return Entry(entry.path, "unusable file" if named else "other", f"a {kind}" if named else kind)
    if named or (not ending and _begins_like_an_image(entry.path)):
        return Entry(entry.path, "image", size=status.st_size)
    return Entry(entry.path, "other", ending or "without ending")


def _begins_like_an_image(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return format_of(stream.read(64)) not in _UNCERTAIN
    except OSError:
        return False


def is_run(folder: Path | str) -> bool:
    """Return whether training wrote this folder, or has just claimed it."""
    if os.path.isfile(os.path.join(folder, _RUN_MODEL)):
        return True
    if os.path.isfile(os.path.join(folder, _RUN_CHECKPOINTS, "origin.json")):
        return True
    try:
        return os.listdir(folder) == [_RUN_LOCK]
    except OSError:
        return False


def _times(names: Counter[str]) -> list[str]:
    return [name if count == 1 else f"{count} {name}" for name, count in names.most_common()]
