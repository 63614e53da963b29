"""Graphs opened by runtimes of their own: NumPy in, NumPy out, without torch."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError
from residua._base.packages import package
from residua._base.subprocesses import processors
from residua.runtime.graphs.external_data import check_external_data
from residua.runtime.graphs.openvino_core import openvino_core

METADATA_PREFIX = "residua"
"""Metadata stands under `residua.KEY` in ONNX, under `residua/KEY` in OpenVINO's rt_info, in residua.json in a .pt2."""
_MOST_STREAMS = 8  # parts that are computed at a time; with more processors each has several threads
_PARTS_PER_STREAM = 2
"""The stream that other work on the machine holds up takes one part less, and the others do not wait for it."""
Floats = npt.NDArray[np.float32]


class Session(Protocol):
    """A graph that computes."""

    def __call__(self, images: Floats) -> Floats:
        """Return the outputs (B, K) of images (B, H, W, C), channels innermost."""
        ...


def usable_processors() -> int:
    """Return how many processors this process may use; OMP_NUM_THREADS sets another number, as it does for torch."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isascii() and stated.isdigit() and int(stated) > 0:
        return int(stated)
    return processors()


class OpenVINOSession:
    """See `Session`. OpenVINO computes in bf16 of its own accord where it can: here the precision is always stated.

    A batch of several images is computed in parts, side by side, one thread or some to each. Threads that share each
    layer of one batch wait for each other some hundred times. A single image has all threads.

    Args:
        graph: an `openvino.Model`, or the .xml file of one; a file's weights are mapped.
        precision: "fp32" or "bf16"; a graph of int8 computes the rest in fp32.
        threads: of the CPU.

    Attributes:
        metadata: what an export stored in the graph, texts by key.

    Raises:
        InputError: as `openvino_core`; or OpenVINO computes in another precision.
    """

    def __init__(self, graph: Any, precision: str, threads: int) -> None:
        self._core = openvino_core(precision)
        openvino = package("openvino", "openvino")
        model = self._core.read_model(graph) if isinstance(graph, Path) else graph
        self.metadata = openvino_metadata(model)
        steps = package("openvino.preprocess", "openvino").PrePostProcessor(model)
        # Images come with the channels innermost: taken as they are, nothing is copied.
        steps.input(0).tensor().set_layout(openvino.Layout("NHWC"))
        steps.input(0).model().set_layout(openvino.Layout("NCHW"))
        self._model = steps.build()
        self._precision, self._threads = precision, threads
        self._requests: dict[int, list[Any]] = {}
        # A request answers one batch at a time.
        self._lock = threading.Lock()
        self._opened(1)

    def __call__(self, images: Floats) -> Floats:
        """See `Session`."""
        with self._lock:
            streams = min(self._threads, _MOST_STREAMS) if len(images) > 1 else 1
            size = -(-len(images) // _parts(streams))
            parts = [images[start : start + size] for start in range(0, len(images), size)]
            requests = self._opened(streams)[: len(parts)]
            for request, part in zip(requests, parts, strict=True):
                request.start_async(part, share_inputs=True)
            outputs: list[Floats] = []
            for request in requests:
                request.wait()
                outputs.append(request.get_output_tensor().data)
            # A copy: the next batch is written over the request's own.
            return np.concatenate(outputs)

    def _opened(self, streams: int) -> list[Any]:
        """Return the requests that share so many streams, opened when such a batch comes first."""
        if streams not in self._requests:
            openvino = package("openvino", "openvino")
            hint, wanted = ("bf16", openvino.Type.bf16) if self._precision == "bf16" else ("f32", openvino.Type.f32)
            settings = {
                "INFERENCE_PRECISION_HINT": hint,
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": streams,
                # Pinned threads of two processes on one machine would share a core.
                "ENABLE_CPU_PINNING": False,
            }
            compiled = self._core.compile_model(self._model, "CPU", settings)
            computed = compiled.get_property("INFERENCE_PRECISION_HINT")
            if computed != wanted:
                raise InputError(
                    f"engine='openvino' in {self._precision}, where OpenVINO computes in {computed.get_type_name()}",
                    "the precision that was asked for",
                    "Use engine='eager'",
                )
            self._requests[streams] = [compiled.create_infer_request() for _ in range(_parts(streams))]
        return self._requests[streams]


def _parts(streams: int) -> int:
    """Return into how many parts a batch is divided."""
    return streams * _PARTS_PER_STREAM if streams > 1 else 1


def openvino_metadata(model: Any) -> dict[str, str]:
    """Return what an export stored in an `openvino.Model`, texts by key."""
    stored = model.get_rt_info()[METADATA_PREFIX] if model.has_rt_info([METADATA_PREFIX]) else {}
    return {key: model.get_rt_info([METADATA_PREFIX, key]).astype(str) for key in stored}


class OnnxRuntimeSession:
    """See `Session`.

    Args:
        graph: the .onnx file, or its bytes.
        threads: of the CPU.

    Attributes:
        metadata: what an export stored in the graph, texts by key.

    Raises:
        InputError: the extra is not installed; a file that reads weights from outside its folder.
    """

    def __init__(self, graph: Path | bytes, threads: int) -> None:
        runtime = package("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads would keep their processors busy, which decoding needs: measured, it gains nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if isinstance(graph, Path):
            check_external_data(graph)
        source = str(graph) if isinstance(graph, Path) else graph
        self._session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        stored = self._session.get_modelmeta().custom_metadata_map
        self.metadata = {key.removeprefix(f"{METADATA_PREFIX}."): value for key, value in stored.items()}
        self._input = self._session.get_inputs()[0].name

    def __call__(self, images: Floats) -> Floats:
        """See `Session`."""
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        outputs: Floats = self._session.run(None, {self._input: planes})[0]
        return outputs
