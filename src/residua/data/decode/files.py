"""Encoded bytes from a file, which must be a regular one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from residua.data.decode.bad_image import BadImage
from residua.data.decode.formats import check_known

MAX_FILE_BYTES = 1 << 30  # 100 million pixels of four channels of 16 bits take 0.8 GB

# A large file that is no image is refused by its first bytes: the rest is not read.
_LOOK_FIRST_BYTES = 64 << 20
_HEAD_BYTES = 4096  # signatures stand in the first bytes; a page of memory is read anyway
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read(source: bytes | Path) -> tuple[bytes, str]:
    """Return the encoded bytes and the name to use in errors.

    Raises:
        BadImage: the file cannot be read, is not a regular file, is above 1 GiB, or is large and in no known format.
    """
    if isinstance(source, bytes):
        return source, "the image"
    name = str(source)
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name.
        raise BadImage(name, f"cannot be read ({_cause(source, error)})") from None
    try:
        return _content(descriptor, name), name
    except OSError as error:
        raise BadImage(name, f"cannot be read ({error.strerror or error})") from None
    finally:
        os.close(descriptor)


def _content(descriptor: int, name: str) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise BadImage(name, f"cannot be read ({_kind(status.st_mode)}, not a file)")
    if status.st_size > MAX_FILE_BYTES:
        raise BadImage(name, "larger than 1 GiB")
    with open(descriptor, "rb", closefd=False) as stream:
        if status.st_size > _LOOK_FIRST_BYTES:
            check_known(stream.peek(_HEAD_BYTES), name)
        return stream.read()


def _kind(mode: int) -> str:
    return next((kind for test, kind in _KINDS if test(mode)), "something special")


def _cause(source: Path, error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return str(error)
    try:
        mode = os.stat(source).st_mode
    except OSError:
        return error.strerror or str(error)
    # A socket or a device without driver cannot even be opened: "No such device or address".
    return (error.strerror or str(error)) if stat.S_ISREG(mode) else f"{_kind(mode)}, not a file"
