"""The peak memory of a step."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

import torch

from residua.bench.case import Case
from residua.training.step.memory import advice

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def advice_on_memory(case: Case) -> contextlib.AbstractContextManager[None]:
    """Turn running out of memory while a case is measured into an InputError."""
    return advice(
        f": batch={case.batch}, {case.resolution} pixels",
        "a batch whose activations fit",
        f"Use batch={max(1, case.batch // 2)}" if case.batch > 1 else "Use a smaller network or resolution=…",
    )


class PeakMemory:
    """The peak since `PeakMemory(device)` above the memory in use then, bytes; None where the system has no count.

    On a GPU the allocator counts them. On a CPU they are pages of this process, as Linux counts them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        gc.collect()
        _return_freed_pages()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before: int | None = torch.cuda.memory_allocated(device)
            return
        try:
            _CLEAR.write_text("5")  # resets the peak to the current size
            self._before = _kilobytes("VmRSS")
        except OSError:
            self._before = None

    def read(self) -> int | None:
        """Return the bytes."""
        if self._before is None:
            return None
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        return 1024 * max(0, _kilobytes("VmHWM") - self._before)


def _return_freed_pages() -> None:
    """Return freed pages to the system: otherwise this network would use them without being counted."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return  # a different C library, without such a call


def _kilobytes(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise OSError(f"{_STATUS} has no {key}")
