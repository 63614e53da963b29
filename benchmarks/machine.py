"""What benchmarks share: facts of the machine, waiting for it, a limit of time, the spread of times, the result."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from residua._base.files import write_text
from residua.runtime.allocator import MMAP_THRESHOLD, TRIM_THRESHOLD, keep_freed_memory
from residua.runtime.environment import environment

_PACKAGES = ("torch", "torchvision", "timm", "pillow", "simplejpeg", "numpy")


def describe(device: str = "cpu") -> dict[str, Any]:
    """Return processor, cores, load, commit and versions."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        **environment(device),
        "load_1min": os.getloadavg()[0],
        "versions": versions,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, minimum and maximum."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result as JSON, whole or not at all."""
    write_text(path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def set_memory(*, ours: bool) -> bool:
    """Prepare a turn: Residua's keeps freed memory, as `residua train` does; a peer's has glibc's own limits.

    Those are the limits that glibc comes to by itself: 32 MB a block, 64 MB in all (mallopt(3), M_MMAP_THRESHOLD). That
    all threads share one pool stays; a peer allocates in the main thread of its processes, which has that pool anyway.

    Returns:
        Whether freed memory is kept now.
    """
    if ours:
        return keep_freed_memory()
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, 32 << 20)
        library.mallopt(TRIM_THRESHOLD, 64 << 20)
        library.malloc_trim(0)
    return False


class TimeLimit:
    """The minutes after which a benchmark that goes on where it was begins no further run."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    def is_over(self) -> bool:
        """Return whether they have passed, and print what to do about it."""
        over = time.monotonic() > self._end
        if over:
            print("The time is over; the same command goes on.")
        return over


def wait(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
