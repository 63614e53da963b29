"""What the C library does with memory that is freed: a training step asks for as much again at once."""

from __future__ import annotations

import ctypes
import os
import platform

# malloc.h of glibc.
TRIM_THRESHOLD, MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory, in one pool for all threads; return whether it does.

    By default each thread has a pool of 64 MB pieces, and a piece that comes free goes back to the system, as larger
    blocks do. A batch of photos then comes as new pages, which the system clears first. With these settings a
    single pool grows as needed, and gives its end back once 1 GiB is free there. Where the user has set one of glibc's
    variables, with another C library, and with a glibc that refuses blocks this large, nothing changes.
    """
    chosen = any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ)
    if chosen or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    # First what an older glibc refuses: one pool for all threads without it would be the worse choice.
    if not library.mallopt(MMAP_THRESHOLD, _KEPT_BYTES):
        return False
    library.mallopt(TRIM_THRESHOLD, _KEPT_BYTES)
    library.mallopt(_ARENA_MAX, 1)
    return True
