"""Hugging Face transformers' `ResNetForImageClassification`, whose stages, layers and norms have names of their own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from residua.specs.preprocess import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec, is_thumbnail
from residua.specs.schema import Spec
from residua.weights.sources.source import Tensors, rename, require_resnet

_UNIT = r"encoder\.stages\.(?P<stage>\d+)\.layers\.(?P<unit>\d+)"
# Names of transformers/models/resnet/modeling_resnet.py -> ours, which count stages and layers from 1.
_RULES = (
    (r"embedder\.embedder\.convolution\.(?P<leaf>.+)", "conv1.{leaf}"),
    (r"embedder\.embedder\.normalization\.(?P<leaf>.+)", "bn1.{leaf}"),
    (rf"{_UNIT}\.layer\.(?P<layer>\d+)\.convolution\.(?P<leaf>.+)", "layer{stage}.{unit}.conv{layer}.{leaf}"),
    (rf"{_UNIT}\.layer\.(?P<layer>\d+)\.normalization\.(?P<leaf>.+)", "layer{stage}.{unit}.bn{layer}.{leaf}"),
    (rf"{_UNIT}\.shortcut\.convolution\.(?P<leaf>.+)", "layer{stage}.{unit}.downsample.0.{leaf}"),
    (rf"{_UNIT}\.shortcut\.normalization\.(?P<leaf>.+)", "layer{stage}.{unit}.downsample.1.{leaf}"),
    (r"classifier\.1\.(?P<leaf>weight|bias)", "fc.{leaf}"),
)


def recognises(names: Collection[str]) -> bool:
    """See `Source`."""
    return any(re.fullmatch(r"(resnet\.)?embedder\.embedder\.convolution\.weight", name) for name in names)


def adapt(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """See `Source`. Its default stride is in the 3×3; the names do not show where a file differs."""
    return require_resnet(spec, "transformers' ResNet", post=True)


def to_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """See `Source`."""
    return rename(tensors, _ours)


def preprocess(spec: Spec, file: str) -> PreprocessSpec | None:
    """See `Source`. As the image processor of microsoft/resnet-50 has it: crop 0.875, bicubic."""
    size = spec.input_size
    if is_thumbnail(size):
        return None
    return PreprocessSpec(size, round(size / 0.875), "bicubic", IMAGENET_MEAN, IMAGENET_STD)


def _ours(name: str) -> str:
    bare = name.removeprefix("resnet.")
    for pattern, ours in _RULES:
        if match := re.fullmatch(pattern, bare):
            parts = match.groupdict()
            counted = {key: str(int(value) + 1) for key, value in parts.items() if key in ("stage", "layer")}
            return ours.format(**parts | counted)
    return bare
