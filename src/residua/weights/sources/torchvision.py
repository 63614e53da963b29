"""torchvision's weights. Its names are ours, save where its old files spell them otherwise."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from residua.specs.preprocess import PreprocessSpec, is_thumbnail
from residua.specs.schema import Spec
from residua.weights.peers.same_network import PEER_NETWORKS
from residua.weights.sources.source import Tensors, rename, with_aux_heads

# A dot in a module's name was legal once: files of DenseNet from 2017 say norm.1.weight.
_DOTTED = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$")
# Its pretrained weights see the image as TensorFlow's do, whatever `transform_input` makes of it before.
_HALVES = ("googlenet", "inception_v3")


def recognises(names: Collection[str]) -> bool:
    """See `Source`. Our own names are torchvision's: it takes what no other source knows."""
    return any(name.startswith(("conv1.", "features.", "Conv2d_1a_3x3.")) for name in names)


def adapt(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """See `Source`. A file may have auxiliary heads or none."""
    return with_aux_heads(spec, tensors)


def to_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """See `Source`."""
    renamed = rename(tensors, lambda name: _DOTTED.sub(r"\1\2", name))
    if getattr(spec, "head", "linear") == "conv" and "fc.weight" in renamed and renamed["fc.weight"].ndim == 2:
        renamed["fc.weight"] = renamed["fc.weight"][:, :, None, None]
    return renamed


def from_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors of the spec's network under torchvision's names and in its layouts."""
    # A classifier written as a 1×1 convolution (`head="conv"`) is a linear layer there.
    return {name: t.flatten(1) if name == "fc.weight" else t for name, t in tensors.items()}


def preprocess(spec: Spec, file: str) -> PreprocessSpec | None:
    """See `Source`."""
    if spec.name not in PEER_NETWORKS["torchvision"] or is_thumbnail(spec.input_size):
        return None
    if spec.family in _HALVES:
        size = spec.input_size
        return PreprocessSpec(
            size, round(size * (256 / 224 if size < 299 else 342 / 299)), mean=(0.5,) * 3, std=(0.5,) * 3
        )
    return PreprocessSpec(spec.input_size, round(spec.input_size * 256 / 224))
