"""The engine of our fused kernels, on CPUs: residual networks of small images, Winograd's convolutions in cache."""

from __future__ import annotations

import time
from typing import Literal

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.runtime import native
from residua.runtime.device import on_device
from residua.runtime.engines.converted import require_cpu
from residua.runtime.engines.names import Precision


class Native:
    """See `Engine`. Parts of the network that the kernels do not serve compute with torch's operators."""

    name: Literal["native"] = "native"

    def __init__(self, model: nn.Module, precision: Precision, device: torch.device) -> None:
        from residua.runtime.native.inference import serve

        start = time.perf_counter()
        self.precision, self.device = precision, device
        self._network = on_device(model, device).float().eval()
        if not serve(self._network):
            raise InputError(
                "engine='native' for a network of which the fused kernels serve no part",
                "residual units of up to 128 channels, each a multiple of 16, with batch normalisation",
                native.reason() or "Use engine='openvino'",
            )
        self.opening_seconds = time.perf_counter() - start

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        placed = images.to(self.device, torch.float32).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self._network(placed)
        return logits.float()


def open_here(
    model: nn.Module, precision: Precision, device: torch.device, shape: tuple[int, int, int, int] | None
) -> Native:
    """Open the engine; it needs no preparation for a `shape`, but for building the kernels once per machine."""
    require_cpu("native", device)
    return Native(model, precision, device)
