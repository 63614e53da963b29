"""What the C library does with memory that is freed: a training step asks for as much again at once."""

from __future__ import annotations

import ctypes
import os
import platform

_STATED = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
# malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Let glibc keep up to 1 GiB of freed memory, in one pool for all threads; return whether it does.

    By default it gives blocks of more than 32 MB back to the system, and each thread has a pool of its own. A batch of
    photos then comes as new pages, which the system clears first. Where the user has chosen, and with other C
    libraries, nothing changes.
    """
    if any(name in os.environ for name in _STATED) or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    settings = {_ARENA_MAX: 1, _MMAP_THRESHOLD: _KEPT_BYTES, _TRIM_THRESHOLD: _KEPT_BYTES}
    return all(library.mallopt(name, value) == 1 for name, value in settings.items())
