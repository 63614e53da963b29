"""The fused kernels in evaluation mode: the classes that use them, for a network that nobody trains or changes."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn

from residua.families.resnet import Network
from residua.layers.shortcut import PadShortcut
from residua.layers.unit import PostActivationUnit
from residua.runtime.native.chain import GIVEN, IDENTITY, NO_SHORTCUT, PADDED, EvaluationLayer, Shortcut, inferred_chain
from residua.runtime.native.library import Unavailable, load
from residua.runtime.native.swap import eligible, lenders


class InferringUnit(PostActivationUnit):
    """A post-activation unit that computes with one fused call, in evaluation mode alone."""

    def forward(self, x: Tensor) -> Tensor:
        library, layers = _library(), self.__dict__["frozen"]
        if self.plain:
            return inferred_chain(library, layers, x, Shortcut(NO_SHORTCUT))
        if self.downsample is None:
            return inferred_chain(library, layers, x, Shortcut(IDENTITY))
        if isinstance(self.downsample, PadShortcut):
            padded = Shortcut(PADDED, self.downsample.stride, self.downsample.before)
            return inferred_chain(library, layers, x, padded)
        return inferred_chain(library, layers, x, Shortcut(GIVEN), self.downsample(x))


class InferringNetwork(Network):
    """A network whose stem's convolution, batch normalisation and ReLU are one fused call, in evaluation mode alone."""

    def _activated_stem(self, x: Tensor) -> Tensor:
        return inferred_chain(_library(), self.__dict__["frozen"], x, Shortcut(NO_SHORTCUT))


_SWAPS: dict[type[nn.Module], type[nn.Module]] = {PostActivationUnit: InferringUnit, Network: InferringNetwork}


def serve(network: nn.Module) -> int:
    """Let every part of a network that the kernels serve compute with them; return how many parts those are.

    The network must be in evaluation mode, float32, on the CPU, and stay as it is: statistics are laid out once.
    """
    if isinstance(load(), Unavailable):
        return 0
    count = 0
    for module in network.modules():
        if type(module) in _SWAPS and eligible(module):
            pairs: list[Any] = [(module.conv1, module.bn1)] if isinstance(module, Network) else lenders(module)  # type: ignore[arg-type]
            if all(norm.track_running_stats and norm.running_var is not None for _, norm in pairs):
                module.__dict__["frozen"] = [_frozen(conv, norm) for conv, norm in pairs]
                module.__class__ = _SWAPS[type(module)]
                count += 1
    return count


def _frozen(conv: nn.Conv2d, norm: Any) -> EvaluationLayer:
    deviation = (norm.running_var.double() + norm.eps).rsqrt().to(torch.float32)
    values = (norm.weight, norm.bias, norm.running_mean, deviation)
    scale, shift, mean, deviation = (value.detach().contiguous() for value in values)
    return EvaluationLayer(conv, scale, shift, mean, deviation)


def _library() -> ctypes.CDLL:
    library = load()
    assert not isinstance(library, Unavailable)
    return library
