"""Whether a file still holds the bytes that it held before, found without reading it where that is safe."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from residua._base.files import sha256_file

# On these, each change of a file's content or of its times sets the time of change (ctime) from the kernel's clock,
# which no program can set. Others (FAT, FUSE mounts, some network shares) may invent or keep it.
_TRUSTED = {"bcachefs", "btrfs", "ceph", "ext2", "ext3", "ext4", "f2fs", "jfs", "nfs", "nfs4", "overlay", "ramfs"}
_TRUSTED |= {"reiserfs", "tmpfs", "xfs", "zfs"}


def identities(files: Iterable[Path]) -> Iterator[bytes]:
    """Yield the identity of each file: it changes whenever the path or the content does.

    It holds device, inode, size and both times of change. Size and time of modification alone are not enough:
    `rsync -a`, `tar`, `cp -p` and editors of metadata keep both. Where the file system keeps no trustworthy time
    of change, a hash of the content is part of it.
    """
    trusted: dict[int, bool] = {}
    for file in files:
        path = os.path.abspath(file)
        try:
            status = os.stat(path)
            if status.st_dev not in trusted:
                trusted[status.st_dev] = _keeps_change_time(path)
            parts = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            words = [path, *map(str, parts)]
            if not trusted[status.st_dev]:
                words.append(sha256_file(Path(path)))
        except OSError as error:
            words = [path, f"unreadable {error.errno}"]
        yield "\0".join(["", *words]).encode("utf-8", "surrogateescape")


def _keeps_change_time(path: str) -> bool:
    """Return whether the file system of a file sets the time of change on every change."""
    if not sys.platform.startswith("linux"):
        return os.name == "posix"
    return _file_system(os.path.realpath(path)) in _TRUSTED


def _file_system(path: str) -> str:
    """Return the type of the mount that holds `path`, or "" where the system does not name it."""
    best, kind = "", ""
    for point, name in _mounts():
        if len(point) >= len(best) and (path == point or path.startswith(point.rstrip("/") + "/")):
            best, kind = point, name
    return kind


@lru_cache(1)
def _mounts() -> tuple[tuple[str, str], ...]:
    """Return (mount point, type) of each mount, in the order of mounting; proc(5)."""
    points = []
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
            for line in stream:
                left, _, right = line.partition(" - ")
                point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), left.split(" ")[4])
                points.append((point, right.split(" ")[0]))
    except (OSError, IndexError):
        return ()
    return tuple(points)
