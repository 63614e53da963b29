"""Resize and crop in front of an OpenVINO model."""

from __future__ import annotations

from typing import Any

import numpy as np

from residua._base.packages import package
from residua.runtime.graphs.program import INPUT
from residua.specs.preprocess import PreprocessSpec


def openvino_front(spec: PreprocessSpec) -> Any:
    """Return an `openvino.Model`: uint8 (B, H, W, 3) of any size -> uint8 (B, height, width, 3), `spec.size`."""
    openvino = package("openvino", "openvino")
    images, pixels = _front(spec)
    return openvino.Model([pixels], [images])


def behind_openvino_front(model: Any, spec: PreprocessSpec) -> Any:
    """Return a copy of a model that takes pixels, with resize and crop in front of it."""
    openvino = package("openvino", "openvino")
    whole = model.clone()
    (before,) = whole.get_parameters()
    names = [port.get_names() for port in whole.outputs]
    images, pixels = _front(spec)
    for target in before.output(0).get_target_inputs():
        target.replace_source_output(pixels.output(0))
    joined = openvino.Model(whole.get_results(), [images])
    joined.input(0).set_names({INPUT})
    for port, name in zip(joined.outputs, names, strict=True):
        port.set_names(name)
    joined.validate_nodes_and_infer_types()
    return joined


def _front(spec: PreprocessSpec) -> tuple[Any, Any]:
    openvino = package("openvino", "openvino")
    ops = package("openvino.opset13", "openvino")
    assert isinstance(spec.resize, int)
    tall, wide = spec.size
    images = ops.parameter(openvino.PartialShape([-1, -1, -1, 3]), np.uint8, name=INPUT)

    def number(*values: int) -> Any:
        return ops.constant(np.array(values, np.int64))

    shape = ops.shape_of(images, "i64")
    sides = ops.gather(shape, number(1, 2), number(0))
    shorter = ops.reduce_min(sides, number(0), keep_dims=True)
    sizes = ops.divide(ops.multiply(sides, number(spec.resize)), shorter)
    planes = ops.transpose(images, number(0, 3, 1, 2))
    # Measured: on uint8 the bilinear kernel is two levels away at times, the bicubic one a level at most.
    exact = spec.interpolation == "bilinear"
    if exact:
        planes = ops.convert(planes, np.float32)
    resized = ops.interpolate(
        planes,
        sizes,
        mode=f"{spec.interpolation}_pillow",
        shape_calculation_mode="sizes",
        axes=number(2, 3),
        cube_coeff=-0.5,
    )
    if exact:
        resized = ops.convert(ops.round(resized, "half_away_from_zero"), np.uint8)
    # Half of what is cut off, halves to the even number: n // 2, and one more where both n and n // 2 are odd.
    excess = ops.subtract(sizes, number(tall, wide))
    half = ops.divide(excess, number(2))
    odd = ops.multiply(ops.mod(excess, number(2)), ops.mod(half, number(2)))
    start = ops.add(half, odd)
    cropped = ops.slice(resized, start, ops.add(start, number(tall, wide)), number(1, 1), number(2, 3))
    lines = ops.transpose(cropped, number(0, 2, 3, 1))
    # The sizes are known here alone: kernels are faster where they know them.
    batch = ops.gather(shape, number(0), number(0))
    return images, ops.reshape(lines, ops.concat([batch, number(tall, wide, 3)], 0), special_zero=False)
