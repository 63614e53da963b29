"""Memory for activations, kept from step to step: fresh pages from the system cost as much as the arithmetic."""

from __future__ import annotations

import ctypes
import mmap
import weakref
from collections import defaultdict

import torch
from torch import Tensor

_SMALL_BYTES = 1 << 20  # below, torch's own allocator serves: its blocks have few pages
_MOST_UNUSED_BYTES = 2 << 30  # kept for the next step; what is above goes back to the system


class _Pool:
    """Blocks that no tensor uses, by size."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[mmap.mmap]] = defaultdict(list)
        self._unused_bytes = 0

    def take(self, size: int) -> mmap.mmap:
        try:
            block = self._blocks[size].pop()
            self._unused_bytes -= size
        except IndexError:
            block = mmap.mmap(-1, size)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                block.madvise(mmap.MADV_HUGEPAGE)
        return block

    def give(self, block: mmap.mmap) -> None:
        if self._unused_bytes + len(block) <= _MOST_UNUSED_BYTES:
            self._unused_bytes += len(block)
            self._blocks[len(block)].append(block)


_POOL = _Pool()


def empty(count: int) -> Tensor:
    """Return an uninitialised float32 tensor (count,); its memory is used again once nothing refers to it."""
    size = 4 * count
    if size < _SMALL_BYTES:
        return torch.empty(count)
    block = _POOL.take(size)
    view = (ctypes.c_char * size).from_buffer(block)
    # The tensor's storage holds `view`; when the last tensor lets go of it, the block comes back.
    weakref.finalize(view, _POOL.give, block).atexit = False
    return torch.frombuffer(view, dtype=torch.float32)


def empty_images(shape: tuple[int, int, int, int]) -> Tensor:
    """Return an uninitialised float32 tensor (B, C, H, W), channels-last."""
    batch, channels, height, width = shape
    return empty(batch * channels * height * width).view(batch, height, width, channels).permute(0, 3, 1, 2)
