"""Where Residua keeps what it can make or fetch again, and whether other users could have changed it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import stat
import tempfile
import warnings
from pathlib import Path

from residua._base.errors import InputError


def cache_root() -> Path:
    """Return the folder that all caches stand in: $RESIDUA_CACHE, or `home_cache()`."""
    setting = os.environ.get("RESIDUA_CACHE")
    return Path(setting) if setting else home_cache()


def home_cache() -> Path:
    """Return ~/.cache/residua, or a private temporary folder where the user has no home that can be written to.

    That is so in containers that run under a user id of their own.

    Raises:
        InputError: there is no temporary folder either.
    """
    return _home_cache(os.environ.get("HOME"))


@functools.cache
def _home_cache(home: str | None) -> Path:
    # `home` is what Path.home() reads: the answer is kept for each.
    try:
        folder = Path.home() / ".cache/residua"
        reason = f"{folder} cannot be written to"
    except RuntimeError:
        folder, reason = None, "there is no home folder"
    if folder is not None and _is_writable(folder):
        return folder
    fallback = _temporary()
    warnings.warn(f"Files are cached in {fallback}, since {reason}. Set $RESIDUA_CACHE to keep them.", stacklevel=3)
    return fallback


def distrust(folder: Path) -> str:
    """Return why other users could have written into a folder, or "" if only this user and root can.

    A group may write: whoever shares a cache with a group trusts it.

    Raises:
        OSError: the folder cannot be looked at.
    """
    status = os.stat(folder)
    if status.st_uid not in (os.geteuid(), 0):
        return f"it belongs to a different user (id {status.st_uid})"
    return "every user may write to it" if status.st_mode & stat.S_IWOTH else ""


def make_private(folder: Path) -> None:
    """Make a folder, with its parents, to which at most its owner and group write, whatever the umask.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o775, parents=True, exist_ok=True)


def _is_writable(folder: Path) -> bool:
    """Return whether the folder can be written to, or made."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _temporary() -> Path:
    """Return a folder that this user keeps between runs, or else one for this process."""
    try:
        folder = Path(tempfile.gettempdir()) / f"residua-{os.geteuid()}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = os.lstat(folder)
        # Anyone may have made that name before: only a real folder that nobody else opens is used.
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
            return folder
        own = Path(tempfile.mkdtemp(prefix="residua-"))
    except OSError as error:
        raise InputError(
            f"neither a home folder nor a temporary one that can be written to ({error.strerror})",
            "a folder for caches",
            "Set RESIDUA_CACHE to such a folder",
        ) from None
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own
