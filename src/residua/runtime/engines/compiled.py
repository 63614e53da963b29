"""The engine of torch.compile: one program for the whole network, its weights frozen into it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from residua.runtime.compiling import compiled
from residua.runtime.device import inference_format, on_device
from residua.runtime.engines.names import Precision


class CompiledEngine:
    """See `Engine`. A program is made for each shape of batch, so batches shorter than the first are filled up."""

    name: Literal["compiled"] = "compiled"

    def __init__(
        self, model: nn.Module, precision: Precision, device: torch.device, shape: tuple[int, int, int, int] | None
    ) -> None:
        start = time.perf_counter()
        self.precision, self.device = precision, device
        self._memory_format = inference_format(model, device)
        # Frozen weights let inductor fold batch normalisation into the convolutions and lay the kernels out once.
        self._program: Callable[[Tensor], Tensor] = compiled(
            on_device(model, device), dynamic=False, options={"freezing": True}
        )
        self._images = 0
        if shape is not None:
            self(torch.zeros(shape))
        self.opening_seconds = time.perf_counter() - start

    def __call__(self, images: Tensor) -> Tensor:
        count = len(images)
        self._images = max(self._images, count)
        if count < self._images:
            filler = images.new_zeros(self._images - count, *images.shape[1:])
            images = torch.cat([images, filler])
        placed = images.to(self.device).contiguous(memory_format=self._memory_format)
        # Not `inference_mode`: inductor freezes weights only where they are no inference tensors.
        with (
            torch.no_grad(),
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            logits: Tensor = self._program(placed)
        return logits[:count].float()


def open_here(
    model: nn.Module, precision: Precision, device: torch.device, shape: tuple[int, int, int, int] | None
) -> CompiledEngine:
    """Open the engine; with a `shape` the program is made now, else at the first batch."""
    return CompiledEngine(model, precision, device, shape)
