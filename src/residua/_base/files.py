"""Files that are whole or absent: atomic writes, hashes, and a lock on a folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import reprlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from residua._base.errors import InputError

# Read once: asking means setting it, and for that moment every thread's files would be open to all.
_UMASK = os.umask(0)
os.umask(_UMASK)


def cache_root() -> Path:
    """Return the folder that all caches stand in: $RESIDUA_CACHE, or ~/.cache/residua."""
    return Path(os.environ.get("RESIDUA_CACHE") or Path.home() / ".cache/residua")


def check_name(what: str, given: Any) -> None:
    """Refuse what cannot name a file, a folder or anything else.

    Raises:
        InputError: it is neither text nor a path.
    """
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"{what} {reprlib.repr(given)}", "a name or a path, as text or as a Path", f"Name the {what}")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success sync it and rename it over `path`.

    On any error the half-written file is removed and `path` keeps what it held before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    os.close(descriptor)
    beside = Path(name)
    try:
        yield beside
        sync(beside)
        os.chmod(beside, 0o666 & ~_UMASK)
        os.replace(beside, path)
        sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically: readers see the old file or the new one, never a part."""
    with atomic_path(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically.

    What a file name holds that is no UTF-8 (a lone surrogate in `content`) is written as its escape, such as
    `\\udcff`, which JSON reads back as it was.
    """
    write_bytes(path, content.encode(errors="backslashreplace"))


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits, read in bounded memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process alone; the kernel lets go when the process ends, however it ends.

    Raises:
        InputError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise InputError(
                f"{folder} is in use by another process (id {holder})",
                "one process at a time in a folder",
                "Wait until it ends, or give another --out",
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
