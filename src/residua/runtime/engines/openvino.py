"""The engine of OpenVINO, on CPUs: the whole network as one graph, its weights laid out once."""

from __future__ import annotations

import threading
import time
from typing import Any, Literal

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.runtime.engines.converted import Converted, Size, require_cpu
from residua.runtime.engines.names import Precision
from residua.runtime.graphs.openvino import to_openvino
from residua.runtime.graphs.packages import package
from residua.runtime.graphs.program import INPUT

_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}


class OpenVINO(Converted):
    """See `Engine`. OpenVINO computes in bf16 of its own accord where it can: here the precision is always stated."""

    name: Literal["openvino"] = "openvino"

    def __init__(self, model: nn.Module, precision: Precision, shape: tuple[int, int, int, int] | None) -> None:
        start = time.perf_counter()
        self._core = package("openvino", "openvino").Core()
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise InputError(
                "engine='openvino' in bf16, which this processor has no instructions for",
                "precision='fp32' on this machine",
                "Leave out precision=…",
            )
        # A request answers one batch at a time.
        self._lock = threading.Lock()
        super().__init__(model, precision, shape, start)

    def _open(self, size: Size) -> Any:
        graph = to_openvino(self._program(size))
        openvino = package("openvino", "openvino")
        steps = package("openvino.preprocess", "openvino").PrePostProcessor(graph)
        # Images come with the channels innermost: taken as they are, nothing is copied.
        steps.input(INPUT).tensor().set_layout(openvino.Layout("NHWC"))
        steps.input(INPUT).model().set_layout(openvino.Layout("NCHW"))
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            # Pinned threads of two processes on one machine would share a core.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = self._core.compile_model(steps.build(), "CPU", settings)
        wanted = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}[self.precision]
        computed = compiled.get_property("INFERENCE_PRECISION_HINT")
        if computed != wanted:
            raise InputError(
                f"engine='openvino' in {self.precision}, where OpenVINO computes in {computed.get_type_name()}",
                "the precision that was asked for",
                "Use engine='eager'",
            )
        return compiled

    def _compute(self, opened: Any, images: Tensor) -> Tensor:
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        with self._lock:
            logits = opened(pixels, share_inputs=True, share_outputs=False)[0]
        return torch.from_numpy(logits)


def open_here(
    model: nn.Module, precision: Precision, device: torch.device, shape: tuple[int, int, int, int] | None
) -> OpenVINO:
    """Open the engine; with a `shape` the graph is made now, else at the first batch."""
    require_cpu("openvino", device)
    return OpenVINO(model, precision, shape)
