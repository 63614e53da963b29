"""What a source of weights must define, and the helpers that its rules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import some
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.files.state_file import read_state

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """How somebody else names, lays out and feeds our networks: the names that a module of this package defines.

    A name with a default is defined only where it differs.

    Attributes:
        recognises: (names of tensors) -> whether this source writes those.
        adapt: (spec, tensors) -> the spec with the fields that the source or this file settles, such as auxiliary heads
            or the kind of shortcut. `num_classes` and `in_channels` are read from the converted tensors by `convert`.
            Raises InputError if the source has this network in another form; it names the model to ask for.
        to_ours: (spec, tensors) -> the tensors under our names and in our layouts; what no rule knows keeps its name.
            The adapted `spec` may still have its own number of classes and channels.
        preprocess: (spec, file) -> the evaluation transform that the source's weights of this network were trained
            for; None where it has none of it. `file` is the name of the file of weights, without its folder: some
            tell which recipe trained them.
        read: (path) -> the file's tensors under the source's names. Nothing in it is executed. Raises InputError if
            there is no such file, it is damaged, or it would run code.
        from_ours: (spec, tensors) -> the tensors under the source's names, for sources that `convert` also writes.
        DATA: the data set that its published weights were trained on: gives the class names where nobody else does.
        BACKGROUND_FIRST: whether, of 1,001 outputs, the first is the background (TensorFlow's ImageNet).
        FILES: patterns of file names, in lower case, that only this source writes; () for torch's, which many share.
        TRAINING: a regular expression of the names of tensors that training keeps beside the weights; "" for none.
    """

    recognises: Callable[[Collection[str]], bool]
    adapt: Callable[[Spec, Mapping[str, Tensor]], Spec]
    to_ours: Callable[[Spec, Mapping[str, Tensor]], Tensors]
    preprocess: Callable[[Spec, str], PreprocessSpec | None]
    read: Callable[[Path], Tensors] = read_state
    from_ours: Callable[[Spec, Mapping[str, Tensor]], Tensors] | None = None
    DATA: Literal["imagenet", "cifar10"] = "imagenet"
    BACKGROUND_FIRST: bool = False
    FILES: tuple[str, ...] = ()
    TRAINING: str = ""

    @classmethod
    def of(cls, module: ModuleType) -> Source:
        """Return the source that a module defines."""
        return cls(**{each.name: getattr(module, each.name) for each in fields(cls) if hasattr(module, each.name)})


def rename(tensors: Mapping[str, Tensor], rule: Callable[[str], str]) -> Tensors:
    """Return the tensors with each name through `rule`.

    Raises:
        InputError: two names would become one.
    """
    renamed: Tensors = {}
    twice = []
    for name, tensor in tensors.items():
        new = rule(name)
        if new in renamed:
            twice.append(f"{name} -> {new}")
        renamed[new] = tensor
    if twice:
        raise InputError(
            f"tensors under two names for one: {some(twice)}",
            "each tensor of the network once",
            "The file mixes two ways to name this network: save its state dict again",
        )
    return renamed


def with_aux_heads(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """Return the spec with auxiliary heads where the file has them, under torchvision's names; without, else.

    A network of a family that has none stays as it is.
    """
    if not hasattr(spec, "aux_heads"):
        return spec
    return spec.edit(aux_heads=any(re.match("aux|AuxLogits", name) for name in tensors))


def require_resnet(spec: Spec, whose: str, *, post: bool = False) -> Spec:
    """Return the spec of a ResNet, for sources whose names fit no other network.

    Args:
        spec: the network that was asked for.
        whose: the source, as an error names it.
        post: whether the source has the activation behind the sum alone.

    Raises:
        InputError: another network.
    """
    if spec.family != "resnet" or (post and getattr(spec, "activation", "") != "post"):
        form = " with activation after the sum" if post else ""
        raise InputError(
            f"{spec.name} for weights of {whose}",
            f"a ResNet{form}, such as resnet50",
            "Use model='resnet50', or the file's depth",
        )
    return spec


def laid_out(kernel: Tensor, like: Tensor | None = None) -> Tensor:
    """Return TensorFlow's kernel as torch's: HWIO as OIHW, (in, out) as (out, in).

    Args:
        kernel: of a convolution or of a fully connected layer.
        like: our tensor: the same layer may be linear on one side and a 1×1 convolution on the other.
    """
    if kernel.ndim == 4:
        kernel = kernel.permute(3, 2, 0, 1)
        return kernel.flatten(1) if like is not None and like.ndim == 2 else kernel
    if kernel.ndim == 2:
        kernel = kernel.t()
        return kernel[:, :, None, None] if like is not None and like.ndim == 4 else kernel
    return kernel


def add_gammas(state: Tensors, wanted: Mapping[str, Tensor]) -> None:
    """Add the 1 that stands for gamma where TensorFlow's normalisation has none and our network's has."""
    for name, like in wanted.items():
        norm = name.removesuffix(".weight")
        if norm != name and name not in state and f"{norm}.running_mean" in state:
            state[name] = torch.ones(like.shape)
