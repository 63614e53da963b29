"""Files that are whole or absent: atomic writes, bounded reads, hashes, and the true cause of a refused write."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import reprlib
import resource
import secrets
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from residua._base.errors import Damaged, InputError
from residua._base.public import is_address, public_address
from residua._base.words import some

# Read once: asking means setting it, and for that moment every thread's files would be open to all.
_UMASK = os.umask(0)
os.umask(_UMASK)

UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ENOTTY}
"""How file systems, most of them of a network, answer calls that they do not know."""

_warned: set[tuple[Path, str]] = set()


def check_name(what: str, value: Any) -> None:
    """Refuse what cannot name a file, a folder or anything else.

    Raises:
        InputError: it is neither text nor a path, or it is empty.
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{what} {reprlib.repr(value)}", "a name or a path, as text or as a Path", f"Name the {what}")
    # As a path, "" would mean the current folder: what an unset variable of a shell leaves.
    if value == "":
        raise InputError(f"{what} '', an empty word", "a name or a path", "Use . for the current folder")


def check_local(what: str, value: Any) -> None:
    """Refuse what cannot name a file or a folder on this machine; of an address, no secret is shown.

    Raises:
        InputError: it is neither text nor a path, it is empty, or it is an address.
    """
    check_name(what, value)
    if is_address(value):
        raise InputError(
            f"{what} {public_address(str(value))}, which is an address",
            "a file or a folder on this machine",
            "Give a path; what an address leads to is downloaded first",
        )


def check_empty(path: Path | str, what: str = "out") -> Path:
    """Return the path of a folder to write, before the work that it is to hold.

    Args:
        path: the folder.
        what: the name of the argument.

    Raises:
        InputError: it is no path, it is a file, or it holds something.
    """
    check_local(what, path)
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{what}={path}, which is a file", "a folder that is new or empty", "Give another folder")
    if path.is_dir() and (names := sorted(entry.name for entry in path.iterdir())):
        raise InputError(
            f"{what}={path}, which holds {some(names, 3)}", "a folder that is new or empty", "Give another folder"
        )
    return path


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success sync it and rename it over `path`.

    On any error the half-written file is removed and `path` keeps what it held before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Cut, so that a name of the greatest length that a file system takes can be written beside.
    start = os.fsdecode(os.fsencode(path.name)[:200])
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{start}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    os.close(descriptor)
    beside = Path(name)
    try:
        yield beside
        sync(beside)
        with _left_out(path.parent, "modes: its new files are open to their owner alone"):
            os.chmod(beside, 0o666 & ~_UMASK)
        os.replace(beside, path)
        sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path` to fill; on success sync its files and rename it to `path`.

    On any error the half-filled folder is removed. `path` may be an empty folder.

    Raises:
        InputError: a write was refused; states why.
    """
    path = path.absolute()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".{path.name[:60]}.{secrets.token_hex(6)}.part"
    try:
        with writing(path):
            beside.mkdir()
        yield beside
        with writing(path):
            for entry in sorted(beside.rglob("*"), reverse=True):
                sync(entry)
            sync(beside)
            os.replace(beside, path)
            sync(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically: readers see the old file or the new one, never a part."""
    with atomic_path(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically.

    A lone surrogate in `content`, from a file name that is no UTF-8, is written as its escape. JSON reads `\\udcff`
    back as it was.
    """
    write_bytes(path, content.encode(errors="backslashreplace"))


def read_regular(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file. A pipe or a device under its name is refused, never waited for.

    Raises:
        Damaged: the file is absent (`error.absent`), unreadable, larger than `most` bytes, or no regular file.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe waits for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Damaged(path, "it is no regular file")
            with open(descriptor, "rb", closefd=False) as stream:
                content = stream.read(most + 1)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        raise Damaged(path, "there is no such file", absent=True) from None
    except (OSError, ValueError, MemoryError) as error:
        if isinstance(error, Damaged):
            raise
        reason = f"it cannot be read ({getattr(error, 'strerror', None) or error or type(error).__name__})"
        raise Damaged(path, reason) from None
    if len(content) > most:
        raise Damaged(path, f"it is larger than {most:,} bytes")
    return content


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits, read in bounded memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk; where a file system cannot wait, go on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with _left_out(path if path.is_dir() else path.parent, "sync: after a power failure a new file may be missing"):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a refused write to `path`, a file or a folder, into an InputError that states the true cause."""
    try:
        yield
    except Exception as error:
        number = _number(error)
        if number is None and not isinstance(error, OSError):
            raise
        reason, wanted, remedy = cause(number, path)
        reason = reason or (os.strerror(number) if number else str(error) or type(error).__name__)
        raise InputError(
            f"{path} could not be written: {reason}",
            wanted or "a folder that can be written",
            f"{remedy}, then repeat the command; a training run goes on with resume=True"
            if remedy
            else "Give a different folder: out=FOLDER",
        ) from error


def cause(number: int | None, path: Path) -> tuple[str, str, str]:
    """Return why a write to `path` failed with this error number, what is wanted, and the first step of a remedy.

    Each is "" where nothing better is known than the system's own words.
    """
    room = "room for it; everything written before is whole and still there"
    match number:
        case errno.ENOSPC if _inodes(path) == 0:
            return f"the disk holds as many files as it can ({_free(path)})", room, "Delete files"
        case errno.ENOSPC:
            return f"the disk is full ({_free(path)})", room, "Make room"
        case errno.EDQUOT:
            return f"the disk quota is used up ({_free(path)}, but not for this user or folder)", room, "Delete files"
        case errno.EFBIG:
            limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
            if limit == resource.RLIM_INFINITY:
                return "the file system takes no file of this size", room, "Choose a file system that does"
            return f"this process may write at most {limit:,} bytes to a file (ulimit -f)", room, "Raise that limit"
        case errno.EEXIST | errno.ENOTDIR if file := next(
            (each for each in (path, *path.parents) if each.is_file()), None
        ):
            return f"{'it' if file == path else file} is a file", "a folder", ""
        case errno.EROFS:
            return "the file system is mounted read-only", "", ""
        case errno.EACCES | errno.EPERM:
            return f"there is no permission to write to {path if path.is_dir() else path.parent}", "", ""
        case errno.ENAMETOOLONG:
            longest = max(len(os.fsencode(part)) for part in path.parts)
            return f"a name in it is too long ({longest} bytes; most file systems take 255)", "", ""
        case errno.EIO:
            return "the disk failed (input/output error)", "", ""
    return "", "", ""


def _number(error: BaseException) -> int | None:
    """Return the system's error number; libraries written in Rust (safetensors) state it in their message only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    match = re.search(r"\(os error (\d+)\)", str(error))
    return int(match[1]) if match else None


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def _free(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(_existing(path)).free / 1e6:,.1f} MB free"
    except OSError:
        return "free space unknown"


def _inodes(path: Path) -> int | None:
    try:
        file_system = os.statvfs(_existing(path))
    except OSError:
        return None
    return file_system.f_favail if file_system.f_files else None


@contextlib.contextmanager
def _left_out(folder: Path, what: str) -> Iterator[None]:
    """Leave a call out where the file system of `folder` does not know it, and state that once."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        if (folder, what) not in _warned:
            _warned.add((folder, what))
            warnings.warn(f"The file system of {folder} does not support {what} ({error.strerror}).", stacklevel=3)
