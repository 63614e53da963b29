"""Whether a graph can resize and crop as we do: to one grey level, measured before it is relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from residua._base.packages import package
from residua.data.decode import Pixels
from residua.data.preprocess.resize import apply_uint8
from residua.exporting.golden import golden_pixels
from residua.exporting.names import ONNX, FormatName
from residua.exporting.part import Part
from residua.exporting.resizing.onnx import behind_onnx_front, onnx_front
from residua.exporting.resizing.openvino import behind_openvino_front, openvino_front
from residua.runtime.graphs.openvino_core import openvino_core
from residua.specs.preprocess import PreprocessSpec

MOST_LEVELS = 1
CHECKED_IMAGES = 32
"""Images of a part on which the two are compared, beside golden ones."""


class Fit(NamedTuple):
    """Whether a format resizes as we do.

    Attributes:
        holds: whether it does.
        sentence: what was measured, or why it was not.
    """

    holds: bool
    sentence: str


def fit(name: FormatName, spec: PreprocessSpec, images: Iterable[Pixels]) -> Fit:
    """Compare a format's resize and crop with ours.

    Args:
        name: of the format.
        spec: the evaluation transform.
        images: uint8 (H, W, 3) each, as they are decoded.
    """
    if reason := _missing(name, spec):
        return Fit(False, reason)
    front, farthest, count = _opened(name, spec), 0, 0
    for image in images:
        pixels = front(np.ascontiguousarray(image[None]))[0]
        farthest = max(farthest, int(np.abs(pixels.astype(int) - apply_uint8(image, spec)).max()))
        count += 1
    levels = f"{farthest} grey level{'' if farthest == 1 else 's'} from ours on {count} images"
    return Fit(farthest <= MOST_LEVELS, f"its resize is at most {levels}")


def with_resize(name: FormatName, model: Any, spec: PreprocessSpec) -> Any:
    """Return a copy of a graph that takes pixels, with resize and crop in front of it."""
    return behind_onnx_front(model, spec) if name in ONNX else behind_openvino_front(model, spec)


def raw_size(spec: PreprocessSpec) -> tuple[int, int]:
    """Return a size of images, oblong and odd, that has to be resized and cropped."""
    tall, wide = spec.resized_size
    return tall + 19, wide * 5 // 4 + 6


def raw_images(spec: PreprocessSpec, part: Part | None) -> Iterator[Pixels]:
    """Yield images to compare the two on: golden ones, oblong either way, and the first of a part."""
    tall, wide = raw_size(spec)
    for size in ((tall, wide), (2 * wide, tall)):
        yield from golden_pixels(size)[::4]
    if part is not None:
        yield from (pixels[0] for _, pixels in islice(part.raw(), CHECKED_IMAGES))


def _missing(name: FormatName, spec: PreprocessSpec) -> str:
    """Return what a format's operators lack for a transform, "" where nothing."""
    if name not in (*ONNX, "openvino"):
        return f"{name} has no such resize"
    if spec.crop_mode != "center" or not isinstance(spec.resize, int):
        return "it resizes the shorter side of square images alone"
    if spec.interpolation not in ("bilinear", "bicubic"):
        return f"it has no {spec.interpolation} resize as ours"
    return ""


def _opened(name: FormatName, spec: PreprocessSpec) -> Callable[[Pixels], Pixels]:
    if name in ONNX:
        runtime = package("onnxruntime", "onnx")
        graph = onnx_front(spec).SerializeToString()
        session = runtime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        entry = session.get_inputs()[0].name
        return lambda pixels: session.run(None, {entry: pixels})[0]
    compiled = openvino_core().compile_model(openvino_front(spec), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels: compiled(pixels)[0]
