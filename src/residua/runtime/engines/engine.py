"""What every engine is, and how one is opened by its name."""

from __future__ import annotations

import importlib
from typing import Protocol

import torch
from torch import Tensor, nn

from residua.runtime.device import pick_device
from residua.runtime.engines.names import Precision, check_engine


class Engine(Protocol):
    """A network made ready to compute, and nothing else: no gradients, no training.

    An engine owns a copy of the network. It brings images to its device and into its memory layout itself.

    Attributes:
        name: how it is asked for.
        precision: of the arithmetic inside; "bf16" keeps float32 weights and sums.
        device: where it computes.
        opening_seconds: what it cost to open, before the first image could be answered.
    """

    @property
    def name(self) -> str: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def opening_seconds(self) -> float: ...

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits, float32 (B, K) on the engine's device, of normalised images (B, C, H, W) from any."""
        ...


def open_engine(
    model: nn.Module,
    name: str = "eager",
    *,
    precision: str = "fp32",
    device: torch.device | str | None = None,
    shape: tuple[int, int, int, int] | None = None,
) -> Engine:
    """Open an engine on a copy of the model, which stays as it is.

    Args:
        model: (B, C, H, W) -> (B, K).
        name: one of `names.ENGINES`. "eager" computes with torch's own operators; "compiled" through torch.compile with
            the weights frozen into the program. "native" uses our fused kernels on the CPU. "onnxruntime" and
            "openvino" compute a converted graph there.
        precision: "fp32", "bf16" or "int8"; the last is a form of the network that an export made on this machine.
        device: "cpu", "cuda" or "cuda:N"; None for the GPU where there is one.
        shape: of the batches to come, (B, C, H, W), which engines prepare for; None prepares at the first batch.

    Raises:
        InputError: an unknown engine or precision, or one that the engine or the processor does not have; a device
            that this machine does not have, or the engine does not compute on; an extra that is not installed.
    """
    check_engine(name, precision)
    # Imported when asked for: later engines need packages that not everybody has.
    opener = importlib.import_module(f"residua.runtime.engines.{name}")
    engine: Engine = opener.open_here(model, precision, pick_device(device), shape)
    return engine
