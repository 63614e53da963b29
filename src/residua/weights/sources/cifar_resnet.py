"""The widely used CIFAR checkpoints of `pytorch_resnet_cifar10`: option A on both sides, `linear` for a head."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from residua._base.errors import InputError
from residua.specs.preprocess import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.sources.source import Tensors, rename

DATA = "cifar10"


def recognises(names: Collection[str]) -> bool:
    """See `Source`."""
    return {"conv1.weight", "bn1.weight", "linear.weight", "linear.bias"} <= set(names)


def adapt(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """See `Source`. This code adds a quarter of the new channels before and a quarter after (ours: both after)."""
    if spec.family != "resnet" or getattr(spec, "stem", "") != "cifar" or getattr(spec, "activation", "") != "post":
        raise InputError(
            f"{spec.name} for weights of pytorch_resnet_cifar10",
            "one of the ResNets of He 2015, section 4.2",
            "Use model='cifar_resnet20', or the depth of the file",
        )
    return spec.edit(shortcut="pad_both")


def to_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """See `Source`."""
    return rename(tensors, lambda name: f"fc.{name.removeprefix('linear.')}" if name.startswith("linear.") else name)


def preprocess(spec: Spec, file: str) -> PreprocessSpec:
    """See `Source`. ImageNet's mean and deviation, on CIFAR, without any resize."""
    return PreprocessSpec(spec.input_size, spec.input_size, mean=IMAGENET_MEAN, std=IMAGENET_STD)
