"""fastai's `vision_learner` on a ResNet: two Sequentials, the body numbered as torchvision's children, and a head."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from residua.specs.preprocess import PreprocessSpec, default_preprocess, is_thumbnail
from residua.specs.schema import Spec
from residua.weights.sources.source import Tensors, rename, require_resnet

_BODY = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


def recognises(names: Collection[str]) -> bool:
    """See `Source`."""
    return {"0.0.weight", "0.1.weight", "0.4.0.conv1.weight"} <= set(names)


def adapt(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """See `Source`. Its head of two linear layers on two pools is none of ours, but a new classifier may follow."""
    return require_resnet(spec, "fastai")


def to_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """See `Source`."""
    return rename(tensors, _ours)


def preprocess(spec: Spec, file: str) -> PreprocessSpec | None:
    """See `Source`."""
    return None if is_thumbnail(spec.input_size) else default_preprocess(spec.input_size)


def _ours(name: str) -> str:
    match = re.fullmatch(r"0\.([014567])\.(.+)", name)
    return f"{_BODY[match[1]]}.{match[2]}" if match else name
