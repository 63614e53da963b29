"""The rate of large matrix products: a yardstick of a processor's arithmetic, by the library that an engine uses.

Four products of 1024 × 1024 matrices follow each other, the right-hand ones constant: like weights, they are laid out
once. What a library spends on the first input and the last output then counts little.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from residua._base.packages import package
from residua.bench.case import Case
from residua.bench.timing import clocked
from residua.runtime.graphs.openvino_core import openvino_core

_Maker = Callable[[str, int, torch.device], Callable[[], Any]]
_SIDE, _PRODUCTS = 1024, 4
_CUDA_SIDE = 8192


class Yardstick:
    """Samples of the rate of matrix products.

    Args:
        case: its library, precision and threads are taken.
        device: where to multiply.
    """

    def __init__(self, case: Case, device: torch.device) -> None:
        self._device = device
        side = _CUDA_SIDE if device.type == "cuda" else _SIDE
        library, precision, _ = key_of(case)
        makers: dict[str, _Maker] = {"openvino": _openvino, "onnxruntime": _onnxruntime, "torch": _torch}
        self._multiply = makers[library](precision, side, device)
        self._flops = 2 * side**3 * _PRODUCTS
        self._rates: list[float] = []
        clocked(self._multiply, device)

    def measure(self) -> None:
        """Take one sample."""
        self._rates.append(self._flops / clocked(self._multiply, self._device))

    @property
    def rate(self) -> float:
        """Median of the samples, operations per second; a multiply-accumulate counts as two."""
        return statistics.median(self._rates)


def key_of(case: Case) -> tuple[str, str, int]:
    """Return what decides the yardstick of a case: library, precision, threads."""
    library = case.engine if case.engine in ("openvino", "onnxruntime") and case.source == "residua" else "torch"
    return library, case.precision, case.threads


def _torch(precision: str, side: int, device: torch.device) -> Callable[[], Any]:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    generator = torch.Generator().manual_seed(0)
    left, *rights = (
        torch.randn(side, side, generator=generator).to(device, dtype) / side**0.5 for _ in range(_PRODUCTS + 1)
    )

    def multiply() -> Any:
        product = left
        for right in rights:
            product = torch.mm(product, right)
        return product

    return multiply


def _openvino(precision: str, side: int, device: torch.device) -> Callable[[], Any]:
    openvino = package("openvino", "openvino")
    operators = package("openvino.opset15", "openvino")
    left, *rights = _matrices(side)
    images = operators.parameter([side, side], openvino.Type.f32)
    product: Any = images
    for right in rights:
        factor: Any = operators.constant(right)
        if precision == "int8":
            # The form in which NNCF leaves a network: ranges on both sides, which become 8-bit operands.
            product, factor = (_ranged(operators, each) for each in (product, factor))
        product = operators.matmul(product, factor, False, False)
    model = openvino.Model([product], [images])
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    compiled = openvino_core().compile_model(model, "CPU", settings)
    return lambda: compiled(left, share_inputs=True, share_outputs=True)


def _ranged(operators: Any, value: Any) -> Any:
    low, high = (np.array(limit, np.float32) for limit in (-4.0, 4.0 * 127 / 128))
    return operators.fake_quantize(value, low, high, low, high, 256)


def _onnxruntime(precision: str, side: int, device: torch.device) -> Callable[[], Any]:
    runtime, onnx = package("onnxruntime", "onnx"), package("onnx", "onnx")
    left, *rights = _matrices(side)
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    nodes, constants = [], []
    if precision == "int8":
        # The library's own product of 8-bit integers; every product takes the same left side.
        left = np.clip(left * 32 + 128, 0, 255).astype(np.uint8)
        rights = [np.clip(right * 32, -127, 127).astype(np.int8) for right in rights]
        number = onnx.TensorProto.UINT8
    for index, right in enumerate(rights):
        constants.append(onnx.numpy_helper.from_array(right, f"right{index}"))
        source = "left" if precision == "int8" or not index else f"product{index - 1}"
        kind = "MatMulInteger" if precision == "int8" else "MatMul"
        nodes.append(helper.make_node(kind, [source, f"right{index}"], [f"product{index}"]))
    names = [f"product{index}" for index in range(_PRODUCTS)] if precision == "int8" else [f"product{_PRODUCTS - 1}"]
    made = onnx.TensorProto.INT32 if precision == "int8" else number
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("left", number, [side, side])],
        [helper.make_tensor_value_info(name, made, [side, side]) for name in names],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"left": left})


def _matrices(side: int) -> list[Any]:
    random = np.random.default_rng(0)
    scale = [1.0, *[side**-0.5] * _PRODUCTS]
    return [random.standard_normal((side, side), np.float32) * np.float32(factor) for factor in scale]
