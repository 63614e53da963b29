"""Locks between processes, by `flock`; the kernel releases them when a process ends, however it ends.

Some network file systems do not know the call. There the lock is left out, and a warning states so once per folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from residua._base.errors import InputError
from residua._base.files import UNSUPPORTED, read_regular
from residua._base.run_files import LOCK_FILE

_WITHOUT = UNSUPPORTED | {errno.ENOLCK}
_warned: set[Path] = set()


@contextlib.contextmanager
def waiting(lock: Path) -> Iterator[None]:
    """Wait until no other process holds the file `lock`, then hold it.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = _acquired(lock, wait=True)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def if_free(lock: Path) -> Iterator[bool]:
    """Yield whether no other process holds the file `lock`; if so, hold it meanwhile.

    Raises:
        OSError: the file cannot be made.
    """
    try:
        descriptor = _acquired(lock, wait=False)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process alone, by the lock file `.lock` in it.

    Raises:
        InputError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK_FILE
    try:
        descriptor = _acquired(lock, wait=False)
    except BlockingIOError:
        raise InputError(
            f"{folder} is in use by another process (id {_holder(lock)})",
            "one process at a time in a folder",
            "Wait until it ends, or give a different out=FOLDER",
        ) from None
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def _acquired(lock: Path, *, wait: bool) -> int:
    """Return a descriptor of the file, whose lock is held until that is closed.

    Raises:
        BlockingIOError: another process holds it, and this one does not wait.
    """
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise
            except OSError as error:
                if error.errno not in _WITHOUT:
                    raise
                _warn(lock.parent, error)
                return descriptor
            # Whoever tidies a folder may have removed the file while this process waited for its lock.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _holder(lock: Path) -> str:
    try:
        text = read_regular(lock, 64).decode("ascii").strip()
    except (ValueError, OSError):
        return "unknown"
    return text if text.isdecimal() else "unknown"


def _warn(folder: Path, error: OSError) -> None:
    if folder not in _warned:
        _warned.add(folder)
        warnings.warn(
            f"The file system of {folder} has no locks ({error.strerror}): "
            "make sure that no other process writes to this folder at the same time.",
            stacklevel=2,
        )
