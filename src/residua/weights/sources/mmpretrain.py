"""OpenMMLab's mmpretrain and mmcls: torchvision's names behind `backbone.`, the classifier as `head.fc`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from residua.families.members import state_shapes
from residua.specs.preprocess import PreprocessSpec, default_preprocess, is_thumbnail
from residua.specs.schema import Spec
from residua.weights.sources.source import Tensors, rename, require_resnet


def recognises(names: Collection[str]) -> bool:
    """See `Source`."""
    return "backbone.conv1.weight" in names and any(name.startswith("head.fc.") for name in names)


def adapt(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """See `Source`. Its style "pytorch" has the stride in the 3×3; the names do not show where a file differs."""
    return require_resnet(spec, "mmpretrain's ResNet")


def to_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """See `Source`."""
    wanted = state_shapes(spec)

    def rule(name: str) -> str:
        ours = re.sub(r"^(backbone\.|head\.(?=fc\.))", "", name)
        return ours if ours in wanted else name

    return rename(tensors, rule)


def preprocess(spec: Spec, file: str) -> PreprocessSpec | None:
    """See `Source`. Its test pipeline: the shorter side to 256, a centre crop of 224, ImageNet's mean and deviation."""
    return None if is_thumbnail(spec.input_size) else default_preprocess(spec.input_size)
