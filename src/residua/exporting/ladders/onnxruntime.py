"""The ladder of ONNX Runtime's static quantisation: pairs of QuantizeLinear and DequantizeLinear, all of it int8.

The form QOperator is left alone: it is known to answer at random (ONNX Runtime's issue 12072).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from residua._base.packages import package
from residua.exporting.ladders.calibration import Calibration, quiet, sums_are_wide
from residua.runtime.graphs.program import INPUT

_LAYERS = {"Conv", "Gemm", "MatMul"}
_PERCENTILE = 99.999

LAST_STEP = "the same, sums of residual units in float32 with the layers that end in them"


def quantised_onnx(model: Any, calibration: Calibration) -> Iterator[tuple[str, Any]]:
    """Yield (recipe, model) for each step of the ladder, each made when it is asked for.

    Args:
        model: an `onnx.ModelProto` in float32, which stays as it is.
        calibration: training images.

    Raises:
        InputError: a package of the extra `onnx` is not installed.
    """
    with quiet():
        tools = package("onnxruntime.quantization", "onnx")
        onnx = package("onnx", "onnx")
    prepared, methods = _prepared(model, onnx), tools.CalibrationMethod
    outside, ends, sums = _around(prepared), _ends(prepared), _sums(prepared)

    def made(*, per_channel: bool = True, method: Any = methods.MinMax, exact: tuple[str, ...] = ()) -> Any:
        with tempfile.TemporaryDirectory() as scratch, quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before, after = (Path(scratch) / name for name in ("float32.onnx", "int8.onnx"))
            onnx.save(prepared, before)
            tools.quantize_static(
                str(before),
                str(after),
                _reader(tools, calibration.images),
                quant_format=tools.QuantFormat.QDQ,
                activation_type=tools.QuantType.QInt8,
                weight_type=tools.QuantType.QInt8,
                per_channel=per_channel,
                reduce_range=not sums_are_wide(),
                calibrate_method=method,
                nodes_to_exclude=[*outside, *exact],
                extra_options={
                    # An image at a time: the outputs of all layers for all images would not fit into memory.
                    "CalibStridedMinMax": 1,
                    "CalibPercentile": _PERCENTILE,
                    "CalibTensorRangeSymmetric": False,
                },
            )
            return onnx.load(after)

    yield "plain (per channel, ranges from the least to the largest)", made()
    yield "one scale per layer", made(per_channel=False)
    careful = {"method": methods.Percentile}
    yield f"per channel, ranges of {_PERCENTILE:g}% of the values", made(**careful)
    yield "the same, stem and head in float32", made(**careful, exact=ends)
    yield LAST_STEP, made(**careful, exact=(*ends, *sums))


def _prepared(model: Any, onnx: Any) -> Any:
    """Return the model as ONNX Runtime would compute it, with the shapes of all tensors: ranges hold for these."""
    with quiet():
        shapes = package("onnxruntime.quantization.shape_inference", "onnx")
    with tempfile.TemporaryDirectory() as scratch, quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, after = (Path(scratch) / name for name in ("model.onnx", "prepared.onnx"))
        onnx.save(model, before)
        # Symbolic shapes are for transformers.
        shapes.quant_pre_process(str(before), str(after), skip_symbolic_shape=True)
        prepared = onnx.load(after)
    for number, node in enumerate(prepared.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"  # nodes are left out by name
    used = {node.domain for node in prepared.graph.node}
    for entry in [entry for entry in prepared.opset_import if entry.domain not in used]:
        prepared.opset_import.remove(entry)  # ONNX Runtime adds all of its own
    return prepared


def _reader(tools: Any, images: list[Any]) -> Any:
    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        """Hands out the images of a range, one by one."""

        def __init__(self) -> None:
            self._rest = iter(images)

        def __len__(self) -> int:
            return len(images)

        def set_range(self, start_index: int, end_index: int) -> None:
            self._rest = iter(images[start_index:end_index])

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._rest, None)
            return None if image is None else {INPUT: image}

    return Reader()


def _around(model: Any) -> tuple[str, ...]:
    """Return the names of the nodes before the first layer with weights and behind the last: they stay in float32.

    Normalisation of pixels and softmax cost nothing, and 8 bits would decide the answer there.
    """
    nodes = list(model.graph.node)
    before = takewhile(lambda node: node.op_type not in _LAYERS, nodes)
    behind = takewhile(lambda node: node.op_type not in _LAYERS, reversed(nodes))
    return tuple(node.name for node in (*before, *behind))


def _ends(model: Any) -> tuple[str, ...]:
    layers = [node.name for node in model.graph.node if node.op_type in _LAYERS]
    return tuple(dict.fromkeys((layers[0], layers[-1])))


def _sums(model: Any) -> tuple[str, ...]:
    """Return the names of the nodes that add two activations, and of the layers whose outputs they add.

    Of a sum alone nothing is gained: its summands would have passed through 8 bits before.
    """
    constants = {each.name for each in model.graph.initializer}
    sums = [node for node in model.graph.node if node.op_type == "Add" and not constants.intersection(node.input)]
    summands = {name for node in sums for name in node.input}
    layers = [node for node in model.graph.node if node.op_type in _LAYERS and summands.intersection(node.output)]
    return tuple(node.name for node in (*sums, *layers))
