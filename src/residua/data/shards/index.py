"""The index of shards: which files there are, what each must hold, and the names of the classes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from residua._base.errors import Damaged, InputError
from residua._base.files import sha256_file, write_text
from residua._base.json_file import read_json
from residua._base.places import cache_root, make_private
from residua.data.decode.workers import default_workers
from residua.data.shards.members import IndexFile, PartIndex

INDEX_FILE = "index.json"
PLAN_FILE = ".packing.json"
"""What `pack` keeps beside its shards until all are written."""
_VERIFIED = "verified"  # the folder in the cache with an empty file for each shard whose bytes were found as stated
LARGE_IMAGES = 4_000_000
"""Images beyond which a data set is opened by its compact index, and trained on shard by shard."""
LARGE_BYTES = 16_000_000_000
"""Bytes of all shards beyond which the same is done."""
_KIND = "wids-shard-index-v1"
"""What WebDataset's own index of shards states as its kind; ours is one, with more fields."""


@dataclass(frozen=True)
class Shard:
    """One file of images.

    Attributes:
        url: its name, in the folder of the index.
        nsamples: images in it.
        filesize: bytes.
        sha256: of the file.
        part: "train", "val" or "test".
    """

    url: str
    nsamples: int
    filesize: int
    sha256: str
    part: str


@dataclass(frozen=True)
class Index:
    """What stands in `index.json`.

    Attributes:
        classes: names by label.
        shards: in the order of their names, part by part.
        parts: where labels and places of the images are stated; () in an index of an earlier version.
        plan: a hash of the data, and of which image goes where; "" in an index of an earlier version.
    """

    classes: tuple[str, ...]
    shards: tuple[Shard, ...]
    parts: tuple[PartIndex, ...] = ()
    plan: str = ""

    @property
    def large(self) -> bool:
        """Whether training takes the shards in turn: the data set has many images, or does not fit into memory.

        The size alone decides, so that the order is the same on every machine.
        """
        images, size = sum(each.nsamples for each in self.shards), sum(each.filesize for each in self.shards)
        return images > LARGE_IMAGES or size > LARGE_BYTES

    @property
    def files(self) -> tuple[Shard | IndexFile, ...]:
        """All files: the shards, and those that state labels and places."""
        return (*self.shards, *(file for part in self.parts for file in (part.labels, part.places)))

    def hash(self) -> str:
        """Return the SHA-256 over the names of the classes, and name, part and hash of each shard."""
        digest = hashlib.sha256("\n".join(self.classes).encode("utf-8", "surrogateescape"))
        for shard in self.shards:
            digest.update(f"\0{shard.part}/{shard.url}\0{shard.sha256}".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Write `index.json`, which WebDataset's `wids` reads too."""
        document = {
            "__kind__": _KIND,
            "name": folder.name,
            "classes": list(self.classes),
            "shardlist": [asdict(shard) for shard in self.shards],
            "parts": [asdict(part) for part in self.parts],
            "plan": self.plan,
        }
        write_text(folder / INDEX_FILE, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


class _Entry(TypedDict):
    url: str
    nsamples: int
    filesize: NotRequired[int]
    sha256: NotRequired[str]
    part: NotRequired[str]


class _File(TypedDict):
    url: str
    filesize: int
    sha256: str


class _Part(TypedDict):
    part: str
    images: int
    class_counts: list[int]
    labels: _File
    places: _File


class _Document(TypedDict):
    classes: NotRequired[list[str]]
    shardlist: list[_Entry]
    parts: NotRequired[list[_Part]]
    plan: NotRequired[str]


def read_index(folder: Path) -> Index | None:
    """Return the index of a folder; None where it has none, or one by WebDataset, which states no classes.

    Raises:
        Damaged: it cannot be read.
        InputError: it names files outside of the folder; `pack` has not finished there.
    """
    path = folder / INDEX_FILE
    if not path.is_file():
        if (folder / PLAN_FILE).is_file():
            raise InputError(
                f"{folder}, where residua pack has not finished",
                "all shards, with their index",
                "Repeat the command that packs it: it goes on, and whole shards are kept",
            )
        return None
    document = read_json(path, _Document)
    entries = document["shardlist"]
    if "classes" not in document or not all({"filesize", "sha256", "part"} <= entry.keys() for entry in entries):
        return None
    shards = tuple(
        Shard(entry["url"], entry["nsamples"], entry["filesize"], entry["sha256"], entry["part"]) for entry in entries
    )
    parts = tuple(
        PartIndex(
            entry["part"],
            entry["images"],
            tuple(entry["class_counts"]),
            IndexFile(**entry["labels"]),
            IndexFile(**entry["places"]),
        )
        for entry in document.get("parts", ())
    )
    names = [shard.url for shard in shards] + [file.url for part in parts for file in (part.labels, part.places)]
    if outside := [name for name in names if Path(name).name != name]:
        raise InputError(f"{path} names {outside[0]!r}", "files of its own folder", "Do not trust this index")
    index = Index(tuple(document["classes"]), shards, parts, document.get("plan", ""))
    for part in parts:
        held = sum(shard.nsamples for shard in shards if shard.part == part.part)
        if not held == part.images == sum(part.class_counts) or len(part.class_counts) != len(index.classes):
            raise Damaged(path, f"its numbers of images of {part.part} differ")
    return index


def check_sizes(folder: Path, shards: Sequence[Shard | IndexFile]) -> dict[str, str]:
    """Return what is wrong with the files that an index lists, by name: missing, cut off, or another file."""
    faults = {}
    for shard in shards:
        path = folder / shard.url
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            faults[shard.url] = "is missing"
        elif size != shard.filesize:
            word = "is cut off" if size < shard.filesize else "is another file"
            faults[shard.url] = f"{word} ({size:,} bytes; the index has {shard.filesize:,})"
    return faults


def check_files(folder: Path, files: Sequence[Shard | IndexFile]) -> dict[str, str]:
    """Return what is wrong with the files that an index lists, by name: as `check_sizes`, other bytes, or unreadable.

    All bytes are read the first time; later only those of files whose size or times have changed since.
    """
    faults = check_sizes(folder, files)
    whole = [file for file in files if file.url not in faults]
    with ThreadPoolExecutor(default_workers()) as pool:
        reasons = pool.map(lambda file: known_bytes(folder, file), whole)
        return faults | {file.url: reason for file, reason in zip(whole, reasons, strict=True) if reason}


def known_bytes(folder: Path, file: Shard | IndexFile) -> str:
    """Return what `other_bytes` does; that a file is as stated is remembered in the cache, while it stays unchanged."""
    path = folder / file.url
    marker = None
    with contextlib.suppress(OSError, InputError):  # without a cache it is read again
        status = path.stat()
        state = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        identity = f"{path.absolute()}\0{state}\0{file.sha256}".encode("utf-8", "surrogateescape")
        marker = cache_root() / _VERIFIED / hashlib.sha256(identity).hexdigest()
        if marker.exists():
            return ""
    reason = other_bytes(folder, file)
    if marker is not None and not reason:
        with contextlib.suppress(OSError):
            make_private(marker.parent)
            marker.touch()
    return reason


def other_bytes(folder: Path, file: Shard | IndexFile) -> str:
    """Return that a file has another hash than the index states, or cannot be read; "" where it is as stated."""
    try:
        digest = sha256_file(folder / file.url)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if digest == file.sha256:
        return ""
    return f"holds other bytes (SHA-256 {digest[:12]}…; the index has {file.sha256[:12]}…)"
