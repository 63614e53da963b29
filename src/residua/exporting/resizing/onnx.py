"""Resize and crop in front of an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from residua._base.packages import package
from residua.runtime.graphs.onnx import IR_VERSION, OPSET
from residua.runtime.graphs.program import INPUT
from residua.specs.preprocess import PreprocessSpec

PREPARED = "prepared"


def onnx_front(spec: PreprocessSpec) -> Any:
    """Return an `onnx.ModelProto`: uint8 (B, H, W, 3) of any size -> uint8 (B, height, width, 3), `spec.size`."""
    onnx = package("onnx", "onnx")
    helper, tensors = onnx.helper, onnx.TensorProto
    assert isinstance(spec.resize, int)
    tall, wide = spec.size
    numbers = {"resize": spec.resize, "tall": tall, "wide": wide, "two": 2}
    constants = [
        onnx.numpy_helper.from_array(np.array([value], np.int64), f"{PREPARED}.{name}")
        for name, value in numbers.items()
    ]
    axes = onnx.numpy_helper.from_array(np.array([2, 3], np.int64), f"{PREPARED}.axes")
    nodes: list[Any] = []

    def node(kind: str, inputs: list[str], output: str, **options: Any) -> str:
        names = [f"{PREPARED}.{each}" if each and each != INPUT else each for each in inputs]
        result = PREPARED if output == PREPARED else f"{PREPARED}.{output}"
        nodes.append(helper.make_node(kind, names, [result], name=f"{PREPARED}.{output}_node", **options))
        return output

    node("Transpose", [INPUT], "planes", perm=[0, 3, 1, 2])
    for axis, name in enumerate(("batch", "height", "width", "depth")):
        node("Shape", [INPUT], name, start=axis, end=axis + 1)
    node("Min", ["height", "width"], "shorter")
    corners = []
    for side, target in (("height", "tall"), ("width", "wide")):
        node("Mul", [side, "resize"], f"{side}_product")
        node("Div", [f"{side}_product", "shorter"], f"new_{side}")
        # Half of what is cut off, halves to the even number: n // 2, and one more where both n and n // 2 are odd.
        node("Sub", [f"new_{side}", target], f"{side}_excess")
        node("Div", [f"{side}_excess", "two"], f"{side}_half")
        node("Mod", [f"{side}_excess", "two"], f"{side}_odd")
        node("Mod", [f"{side}_half", "two"], f"{side}_half_odd")
        node("Mul", [f"{side}_odd", f"{side}_half_odd"], f"{side}_more")
        corners.append(node("Add", [f"{side}_half", f"{side}_more"], f"{side}_start"))
        node("Add", [f"{side}_start", target], f"{side}_end")
    node("Concat", ["batch", "depth", "new_height", "new_width"], "sizes", axis=0)
    cubic = {"mode": "cubic", "cubic_coeff_a": -0.5} if spec.interpolation == "bicubic" else {"mode": "linear"}
    # As Pillow does at the border.
    node("Resize", ["planes", "", "", "sizes"], "resized", antialias=1, exclude_outside=1, **cubic)
    node("Concat", corners, "starts", axis=0)
    node("Concat", ["height_end", "width_end"], "ends", axis=0)
    node("Slice", ["resized", "starts", "ends", "axes"], "cropped")
    node("Transpose", ["cropped"], PREPARED, perm=[0, 2, 3, 1])
    taken = helper.make_tensor_value_info(INPUT, tensors.UINT8, ["batch", "height", "width", 3])
    gives = helper.make_tensor_value_info(PREPARED, tensors.UINT8, ["batch", tall, wide, 3])
    graph = helper.make_graph(nodes, PREPARED, [taken], [gives], [*constants, axes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def behind_onnx_front(model: Any, spec: PreprocessSpec) -> Any:
    """Return a copy of a graph that takes pixels, with resize and crop in front of it."""
    onnx = package("onnx", "onnx")
    front, whole = onnx_front(spec), onnx.ModelProto()
    whole.CopyFrom(model)
    for each in whole.graph.node:
        each.input[:] = [PREPARED if name == INPUT else name for name in each.input]
    nodes = [*front.graph.node, *whole.graph.node]
    del whole.graph.node[:]
    whole.graph.node.extend(nodes)
    whole.graph.initializer.extend(front.graph.initializer)
    del whole.graph.input[:]
    whole.graph.input.extend(front.graph.input)
    onnx.checker.check_model(whole)
    return whole
