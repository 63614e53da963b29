"""The engine of ONNX Runtime, on CPUs."""

from __future__ import annotations

import time
from typing import Any, Literal

import torch
from torch import Tensor, nn

from residua.runtime.engines.converted import Converted, Size, require_cpu
from residua.runtime.engines.names import Precision
from residua.runtime.graphs.onnx import to_onnx
from residua.runtime.graphs.packages import package
from residua.runtime.graphs.program import INPUT


class OnnxRuntime(Converted):
    """See `Engine`."""

    name: Literal["onnxruntime"] = "onnxruntime"

    def __init__(self, model: nn.Module, precision: Precision, shape: tuple[int, int, int, int] | None) -> None:
        start = time.perf_counter()
        package("onnxruntime", "onnx")
        super().__init__(model, precision, shape, start)

    def _open(self, size: Size) -> Any:
        onnxruntime = package("onnxruntime", "onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads would keep their processors busy, which decoding needs: measured, it gains nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = to_onnx(self._program(size)).SerializeToString()
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def _compute(self, opened: Any, images: Tensor) -> Tensor:
        (logits,) = opened.run(None, {INPUT: images.contiguous().numpy()})
        return torch.from_numpy(logits)


def open_here(
    model: nn.Module, precision: Precision, device: torch.device, shape: tuple[int, int, int, int] | None
) -> OnnxRuntime:
    """Open the engine; with a `shape` the graph is made now, else at the first batch."""
    require_cpu("onnxruntime", device)
    return OnnxRuntime(model, precision, shape)
