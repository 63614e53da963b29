"""Proof: how far the resize operators of ONNX and OpenVINO are from Pillow's, in grey levels.

    .venv/bin/python proofs/format_resize.py PHOTOS

PHOTOS is a folder of JPEGs, of which the first 24 are taken. Each is resized to a shorter side of 256 by Pillow and by
the operator, once on uint8 and once on float32, rounded and clipped behind. The outcome goes to
docs/proofs/format_resize.json: the largest difference of each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.files import write_text
from residua.data.decode import decode
from residua.data.preprocess.resize import resized_uint8
from residua.exporting.certificate import surroundings

ROOT = Path(__file__).parents[1]

SHORTER, PHOTOS = 256, 24
Resize = Callable[[Any, list[int]], Any]
"""(1, 3, H, W) and the new [H, W] -> (1, 3, H', W')."""


def of_onnx(mode: str, dtype: str) -> Resize:
    """Return ONNX's Resize of operator set 18, antialiased, run by ONNX Runtime."""
    import onnxruntime
    from onnx import TensorProto, helper

    kind = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}[dtype]
    options = {"mode": "cubic", "cubic_coeff_a": -0.5} if mode == "bicubic" else {"mode": "linear"}
    # As Pillow does at the border: without it the difference is up to 5 levels for "linear".
    options |= {"antialias": 1, "exclude_outside": 1}
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **options)
    image = [1, 3, None, None]
    inputs = [
        helper.make_tensor_value_info("x", kind, image),
        helper.make_tensor_value_info("sizes", TensorProto.INT64, [4]),
    ]
    graph = helper.make_graph([node], "resize", inputs, [helper.make_tensor_value_info("y", kind, image)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda x, size: session.run(None, {"x": x, "sizes": np.array([1, 3, *size])})[0]


def of_openvino(mode: str, dtype: str) -> Resize:
    """Return OpenVINO's Interpolate-11 in its Pillow mode."""
    import openvino
    from openvino import opset11

    x = opset11.parameter([1, 3, -1, -1], np.dtype(dtype))
    size = opset11.parameter([2], np.int64)
    axes = opset11.constant(np.array([2, 3]))
    # Pillow's own constant of the cubic.
    y = opset11.interpolate(x, size, mode=f"{mode}_pillow", shape_calculation_mode="sizes", axes=axes, cube_coeff=-0.5)
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.Model([y], [x, size]), "CPU", settings)
    return lambda x, size: compiled([x, np.array(size)])[0]


def main() -> int:
    """Measure every operator, and return the exit code."""
    photos = [decode(path) for path in sorted(Path(sys.argv[1]).rglob("*.jpg"))[:PHOTOS]]
    rows = []
    for mode in ("bilinear", "bicubic"):
        wanted = [resized_uint8(photo, SHORTER, mode) for photo in photos]  # type: ignore[arg-type]
        for name, make in (("onnx", of_onnx), ("openvino", of_openvino)):
            for dtype in ("uint8", "float32"):
                resize, farthest = make(mode, dtype), 0
                for photo, target in zip(photos, wanted, strict=True):
                    planes = np.ascontiguousarray(photo.transpose(2, 0, 1)[None]).astype(dtype)
                    out = resize(planes, list(target.shape[:2]))[0].transpose(1, 2, 0)
                    levels = np.clip(np.round(out.astype(np.float64)), 0, 255)
                    farthest = max(farthest, int(np.abs(levels - target).max()))
                rows.append({"format": name, "mode": mode, "dtype": dtype, "photos": len(photos), "levels": farthest})
                print(rows[-1], file=sys.stderr)
    outcome = {"rows": rows, "environment": surroundings()}
    write_text(ROOT / "docs" / "proofs" / "format_resize.json", json.dumps(outcome, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
