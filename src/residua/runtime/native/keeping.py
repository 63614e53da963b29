"""Where built libraries are kept, and whether anyone but this user could have put them there."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
import warnings
from pathlib import Path

from residua._base.places import cache_root, home_cache


def cache_folder(name: str = "native") -> Path:
    """Return where built code of one kind is kept: $RESIDUA_CACHE/NAME, else ~/.cache/residua/NAME."""
    return (cache_root() / name).absolute()


def trusted_folder(name: str = "native") -> Path:
    """Return the first folder in which only this user and root can put code to run; made where it is missing.

    `cache_folder(name)` comes first, then the cache in the user's home, then a private one for this process alone.

    Raises:
        OSError: no folder can be made.
    """
    reasons = []
    for folder in dict.fromkeys((cache_folder(name), (home_cache() / name).absolute())):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            keep_to_ourselves(folder)
            reason = _distrust(folder)
        except OSError as error:
            reason = f"{folder} cannot be used ({error.strerror})"
        if not reason:
            break
        reasons.append(reason)
    else:
        folder = Path(tempfile.mkdtemp(prefix=f"residua-{name}-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if reasons:
        warnings.warn(f"Built code is kept in {folder}, since {'; '.join(reasons)}.", stacklevel=2)
    return folder


def is_ours(library: Path) -> bool:
    """Return whether the file is there, and only this user or root can have written it."""
    try:
        status = os.lstat(library)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid in (os.geteuid(), 0) and not status.st_mode & 0o022


def keep_to_ourselves(path: Path) -> None:
    """Take the right to write from group and others, where the file system knows such rights and this user owns it."""
    with contextlib.suppress(OSError):
        path.chmod(stat.S_IMODE(os.stat(path).st_mode) & ~0o022)


def _distrust(folder: Path) -> str:
    """Return why someone else could change what the folder holds, "" if nobody can but this user and root."""
    resolved = folder.resolve()
    if os.stat(resolved).st_mode & 0o022:
        return f"others may write to {folder}"
    for each in (resolved, *resolved.parents):
        status = os.stat(each)
        if status.st_uid not in (os.geteuid(), 0):
            return f"{each} belongs to a different user (id {status.st_uid})"
        # In a folder such as /tmp, whose sticky bit is set, nobody renames what belongs to this user.
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            return f"every user may write to {each}"
    return ""
