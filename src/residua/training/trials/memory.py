"""The memory that a training can take now, on the GPU or of this machine."""

from __future__ import annotations

from pathlib import Path

import torch

_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Limit and use of the container, in version 2 and version 1 of Linux' control groups."""


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free: of the GPU, or of the machine and of the container; None where unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [_available(), *(_left(limit, used) for limit, used in _GROUPS)]
    return min((each for each in known if each is not None), default=None)


def _available() -> int | None:
    """Return what Linux can give without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = dict(line.split(":", 1) for line in lines if ":" in line)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _left(limit: str, used: str) -> int | None:
    try:
        return max(0, int(Path(limit).read_text(encoding="ascii")) - int(Path(used).read_text(encoding="ascii")))
    except (OSError, ValueError):  # ValueError: "max", no limit
        return None
