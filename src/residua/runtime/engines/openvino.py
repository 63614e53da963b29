"""The engine of OpenVINO, on CPUs: the whole network as one graph, its weights laid out once."""

from __future__ import annotations

import time
from typing import Any, Literal

import torch
from torch import Tensor, nn

from residua.runtime.engines.converted import ConvertedEngine, Size, require_cpu
from residua.runtime.engines.names import Precision
from residua.runtime.engines.sessions import OpenVINOSession
from residua.runtime.graphs.openvino import to_openvino
from residua.runtime.graphs.openvino_core import openvino_core


class OpenVINO(ConvertedEngine):
    """See `Engine` and `OpenVINOSession`."""

    name: Literal["openvino"] = "openvino"

    def __init__(self, model: nn.Module, precision: Precision, shape: tuple[int, int, int, int] | None) -> None:
        start = time.perf_counter()
        openvino_core(precision)
        super().__init__(model, precision, shape, start)

    def _open(self, size: Size) -> Any:
        return OpenVINOSession(self._graph(size), self.precision, self.threads)

    def _graph(self, size: Size) -> Any:
        if self.precision != "int8":
            return to_openvino(self._program(size))
        files = self._int8(size)
        core = openvino_core(self.precision)
        return core.read_model(files["model.xml"], files["model.bin"])

    def _compute(self, opened: Any, images: Tensor) -> Tensor:
        return torch.from_numpy(opened(images.permute(0, 2, 3, 1).contiguous().numpy()))


def open_here(
    model: nn.Module, precision: Precision, device: torch.device, shape: tuple[int, int, int, int] | None
) -> OpenVINO:
    """Open the engine; with a `shape` the graph is made now, else at the first batch."""
    require_cpu("openvino", device)
    return OpenVINO(model, precision, shape)
