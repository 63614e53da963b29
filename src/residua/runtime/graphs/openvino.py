"""A graph as an OpenVINO model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.export import ExportedProgram

from residua._base.packages import package
from residua.runtime.graphs.program import BATCH, INPUT, quiet_export


def to_openvino(
    program: ExportedProgram, *, outputs: Sequence[str] = ("logits",), axes: Mapping[int, str] = BATCH
) -> Any:
    """Return the graph as an `openvino.Model`; its input is called "images".

    Args:
        program: see `export_program`.
        outputs: names of the outputs.
        axes: the free axes, as in `export_program`.

    Raises:
        InputError: the extra `openvino` is not installed.
    """
    openvino = package("openvino", "openvino")
    convert = package("openvino.tools.ovc", "openvino").convert_model
    (name,) = program.graph_signature.user_inputs
    images = next(node for node in program.graph.nodes if node.name == name).meta["val"]
    with quiet_export():
        model = convert(program)
    # The conversion leaves all axes free; kernels are faster where they know the size of an image.
    sizes = [-1 if axis in axes else int(size) for axis, size in enumerate(images.shape)]
    model.reshape({model.input(0): openvino.PartialShape(sizes)})
    model.input(0).set_names({INPUT})
    for port, output in zip(model.outputs, outputs, strict=True):
        port.set_names({output})
    model.validate_nodes_and_infer_types()
    return model
