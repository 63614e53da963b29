"""What a folder holds: one walk for training, checking and prediction, in which nothing is left out uncounted."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from residua._base.run_files import is_run
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
        passed = LeftOut()
        for entry in (*self.others, *self.system, *self.runs):
            passed.add(entry)
        return passed.sentences()


NO_DATA: frozenset[Kind] = frozenset(("other", "system", "run"))
"""Kinds of entries that are no data; the rest are images, or look like some and cannot be read."""


class LeftOut:
    """Counts what stands in a folder and is no data; keeps a name per ending, each trace of a system and each run."""

    def __init__(self) -> None:
        self._endings: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._names: Counter[str] = Counter()
        self._runs: list[str] = []

    def add(self, entry: Entry) -> None:
        """Count an entry of the kind "other", "system" or "run"."""
        if entry.kind == "other":
            self._endings[entry.detail] += 1
            self._examples.setdefault(entry.detail, os.path.basename(entry.path))
        elif entry.kind == "system":
            self._names[os.path.basename(entry.path) + entry.detail] += 1
        else:
            self._runs.append(entry.path)

    def sentences(self) -> list[str]:
        """Return a sentence per kind."""
        sentences = []
        if count := self._endings.total():
            what = counted(count, "file is no image by its ending", "files are no images by their ending")
            sentences.append(f"{what}: {_endings(self._endings, self._examples)}")
        if self._names:
            sentences.append("left by systems or tools, and no data: " + some(_times(self._names), 8))
        if self._runs:
            sentences.append("written by training, and no data: " + some(self._runs))
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
    for each in _listed(str(folder)):
        if isinstance(each, Entry):
            entries.append(each)
        else:
            folders.append(Path(each))
    return entries, folders


def by_ending(entries: tuple[Entry, ...]) -> str:
    """Return counts by ending, each with an example: "12 .txt (such as notes.txt), 1 without ending (such as IMG)"."""
    counts = Counter(entry.detail for entry in entries)
    return _endings(counts, {entry.detail: os.path.basename(entry.path) for entry in reversed(entries)})


def _endings(counts: Counter[str], examples: dict[str, str]) -> str:
    return some(f"{count} {kind} (such as {examples[kind]})" for kind, count in counts.most_common())


def _listed(folder: str) -> Iterator[Entry | str]:
    """Yield what one folder holds, sorted by name: entries, and sub-folders that may hold images as their paths.

    Names alone are held for the order: a million entries of the system's listing would take half a gigabyte.

    Raises:
        OSError: it cannot be listed; raised before the first entry.
    """
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        entry = _classified(name, path)
        if entry is None and is_run(path):
            entry = Entry(path, "run")
        yield path if entry is None else entry


def _walk(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
    try:
        status = os.stat(folder)
        this = (status.st_dev, status.st_ino)
        if this in above:
            yield Entry(folder, "loop", "a link to a folder that contains it")
            return
        listed = _listed(folder)
        first = next(listed, None)
    except OSError as error:
        yield Entry(folder, "unusable folder", f"cannot be listed ({error.strerror})")
        return
    folders: list[str] = []
    for each in chain(() if first is None else (first,), listed):
        if isinstance(each, Entry):
            yield each
        else:
            folders.append(each)
    for path in folders:
        yield from _walk(path, (*above, this))


def _classified(name: str, path: str) -> Entry | None:
    """Return what an entry is, or None for a folder."""
    ending = os.path.splitext(name)[1].lower()
    named = ending in EXTENSIONS
    status: os.stat_result | None = None
    reason: str | None = ""
    try:
        status = os.stat(path)
    except OSError as error:  # Such as a link to itself.
        reason = "a broken link" if isinstance(error, FileNotFoundError) and os.path.islink(path) else error.strerror
    is_folder = status is not None and stat.S_ISDIR(status.st_mode)
    if name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS:
        return Entry(path, "system", "/" * is_folder)
    if is_folder:
        return None
    if status is None:
        return Entry(path, "unusable file" if named else "other", str(reason))
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for test, kind in _KINDS if test(status.st_mode)), "special file")
        return Entry(path, "unusable file" if named else "other", f"a {kind}" if named else kind)
    if named or (not ending and _begins_like_an_image(path)):
        return Entry(path, "image", size=status.st_size)
    return Entry(path, "other", ending or "without ending")


def _begins_like_an_image(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return format_of(stream.read(64)) not in _UNCERTAIN
    except OSError:
        return False


def _times(names: Counter[str]) -> list[str]:
    return [name if count == 1 else f"{count} {name}" for name, count in names.most_common()]
