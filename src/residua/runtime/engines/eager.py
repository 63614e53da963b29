"""The engine of torch's own operators, one after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from residua.runtime.device import inference_format, on_device
from residua.runtime.engines.names import Precision


@dataclass(frozen=True, eq=False)
class Eager:
    """See `Engine`."""

    network: nn.Module
    precision: Precision
    device: torch.device
    memory_format: torch.memory_format
    opening_seconds: float
    name: Literal["eager"] = "eager"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        placed = images.to(self.device).contiguous(memory_format=self.memory_format)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            logits: Tensor = self.network(placed)
        return logits.float()


def open_here(
    model: nn.Module, precision: Precision, device: torch.device, shape: tuple[int, int, int, int] | None
) -> Eager:
    """Open the engine; it needs no preparation for a `shape`."""
    start = time.perf_counter()
    network = on_device(model, device)
    return Eager(network, precision, device, inference_format(model, device), time.perf_counter() - start)
