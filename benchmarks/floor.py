"""The floor of a training step: its arithmetic at the rate of large matrix products, its bytes at the rate of copies.

Operations are those of convolutions and matrix products, forward and backward, a multiply-accumulate counting as two.
Bytes are those that every operation reads and writes, each as a kernel of its own: fused kernels move fewer.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import residua
from machine import wait


class Work(NamedTuple):
    """What a training step does, without the optimizer."""

    operations: int
    bytes: int


class Bytes(TorchDispatchMode):
    """Counts the bytes that operations read and write, each as a kernel of its own; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        read = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        made = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
        if not (function.is_view or "empty" in str(function)):
            self.moved += sum(each.numel() * each.element_size() for each in (*read, *made))
        return result


def step_work(name: str, batch: int, side: int, dtype: torch.dtype = torch.bfloat16) -> Work:
    """Return the work of a training step of a listed network, all of it in `dtype`; nothing is computed.

    Args:
        name: of the network.
        batch: images, (batch, 3, side, side).
        side: pixels.
        dtype: of weights and activations.
    """
    with torch.device("meta"):
        model: nn.Module = residua.create_model(name).train().to(dtype)
        images = torch.empty(batch, 3, side, side, dtype=dtype)
        labels = torch.empty(batch, dtype=torch.int64)
    with FlopCounterMode(display=False) as operations, Bytes() as counted:
        F.cross_entropy(model(images).float(), labels).backward()
    return Work(operations.get_total_flops(), counted.moved)


def copy_rate(device: torch.device, size: int = 1 << 30) -> float:
    """Return bytes per second, read and written, of copies on the device."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rates = []
    for _ in range(6):
        wait(device)
        start = time.perf_counter()
        target.copy_(source)
        wait(device)
        rates.append(2 * size / (time.perf_counter() - start))
    return statistics.median(rates[1:])
