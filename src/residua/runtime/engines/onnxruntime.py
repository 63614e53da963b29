"""The engine of ONNX Runtime, on CPUs."""

from __future__ import annotations

import time
from typing import Any, Literal

import torch
from torch import Tensor, nn

from residua._base.packages import package
from residua.runtime.engines.converted import ConvertedEngine, Size, require_cpu
from residua.runtime.engines.names import Precision
from residua.runtime.engines.sessions import OnnxRuntimeSession
from residua.runtime.graphs.onnx import to_onnx


class OnnxRuntime(ConvertedEngine):
    """See `Engine` and `OnnxRuntimeSession`."""

    name: Literal["onnxruntime"] = "onnxruntime"

    def __init__(self, model: nn.Module, precision: Precision, shape: tuple[int, int, int, int] | None) -> None:
        start = time.perf_counter()
        package("onnxruntime", "onnx")
        super().__init__(model, precision, shape, start)

    def _open(self, size: Size) -> Any:
        if self.precision == "int8":
            return OnnxRuntimeSession(self._int8(size)["model.onnx"], self.threads)
        return OnnxRuntimeSession(to_onnx(self._program(size)).SerializeToString(), self.threads)

    def _compute(self, opened: Any, images: Tensor) -> Tensor:
        # Of a contiguous batch these two turns are no copy on this side, and one inside.
        return torch.from_numpy(opened(images.permute(0, 2, 3, 1).numpy()))


def open_here(
    model: nn.Module, precision: Precision, device: torch.device, shape: tuple[int, int, int, int] | None
) -> OnnxRuntime:
    """Open the engine; with a `shape` the graph is made now, else at the first batch."""
    require_cpu("onnxruntime", device)
    return OnnxRuntime(model, precision, shape)
