"""A graph as ONNX, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram

from residua._base.errors import InputError
from residua._base.packages import package
from residua.runtime.graphs.program import BATCH, INPUT, quiet_export

OPSET = 18
"""The operator set that torch's exporter writes without a conversion behind it; ONNX Runtime reads it from 1.14 on."""
IR_VERSION = 10
"""The version of the file format; ONNX Runtime reads it from 1.18 on."""
LARGEST_BYTES = (1 << 31) - (1 << 20)  # of one message of protocol buffers


def to_onnx(program: ExportedProgram, *, outputs: Sequence[str] = ("logits",), axes: Mapping[int, str] = BATCH) -> Any:
    """Return the graph as an `onnx.ModelProto` with its weights inside; `.SerializeToString()` gives the file.

    Its input is called "images".

    Args:
        program: see `export_program`.
        outputs: names of the outputs.
        axes: names of the free axes, as in `export_program`.

    Raises:
        InputError: the extra `onnx` is not installed, or the weights exceed the 2 GB that one file holds.
    """
    onnx = package("onnx", "onnx")
    package("onnxscript", "onnx")
    size = sum(tensor.nbytes for tensor in (*program.state_dict.values(), *program.constants.values()))
    if size > LARGEST_BYTES:
        raise InputError(
            f"a network whose weights take {size / 1e9:.2g} GB",
            "at most 2.1 GB, which one ONNX file holds",
            "Use OpenVINO",
        )
    with quiet_export():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            verbose=False,
            external_data=False,
        )
    assert exported is not None
    model = exported.model_proto
    model.ir_version = IR_VERSION
    _name_axes(model, program, axes)
    onnx.checker.check_model(model)
    return model


def _name_axes(model: Any, program: ExportedProgram, axes: Mapping[int, str]) -> None:
    """Replace torch's symbols of the free axes by names."""
    (name,) = program.graph_signature.user_inputs
    images = next(node for node in program.graph.nodes if node.name == name).meta["val"]
    names = {str(images.shape[axis]): word for axis, word in axes.items()}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in names:
                axis.dim_param = names[axis.dim_param]
