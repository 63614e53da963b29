"""The index of shards: which files there are, what each must hold, and the names of the classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from residua._base.errors import InputError
from residua._base.files import write_text
from residua._base.json_file import read_json

INDEX_FILE = "index.json"
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
    """

    classes: tuple[str, ...]
    shards: tuple[Shard, ...]

    def write(self, folder: Path) -> None:
        """Write `index.json`, which WebDataset's `wids` reads too."""
        document = {
            "__kind__": _KIND,
            "name": folder.name,
            "classes": list(self.classes),
            "shardlist": [asdict(shard) for shard in self.shards],
        }
        write_text(folder / INDEX_FILE, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


class _Entry(TypedDict):
    url: str
    nsamples: int
    filesize: NotRequired[int]
    sha256: NotRequired[str]
    part: NotRequired[str]


class _Document(TypedDict):
    classes: NotRequired[list[str]]
    shardlist: list[_Entry]


def read_index(folder: Path) -> Index | None:
    """Return the index of a folder; None where it has none, or one by WebDataset, which states no classes.

    Raises:
        Damaged: it cannot be read.
        InputError: it names files outside of the folder.
    """
    path = folder / INDEX_FILE
    if not path.is_file():
        return None
    document = read_json(path, _Document)
    entries = document["shardlist"]
    if "classes" not in document or not all({"filesize", "sha256", "part"} <= entry.keys() for entry in entries):
        return None
    shards = tuple(
        Shard(entry["url"], entry["nsamples"], entry["filesize"], entry["sha256"], entry["part"]) for entry in entries
    )
    if outside := [shard.url for shard in shards if Path(shard.url).name != shard.url]:
        raise InputError(f"{path} names {outside[0]!r}", "files of its own folder", "Do not trust this index")
    return Index(tuple(document["classes"]), shards)


def check_sizes(folder: Path, shards: Sequence[Shard]) -> dict[str, str]:
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
