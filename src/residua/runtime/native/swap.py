"""Which modules the kernels serve, and the classes that use them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from residua.families.resnet import Network
from residua.layers.shared import owner
from residua.layers.shortcut import PadShortcut
from residua.layers.unit import PostActivationUnit
from residua.runtime.native.chain import GIVEN, IDENTITY, NO_SHORTCUT, PADDED, Shortcut, fused_chain
from residua.runtime.native.library import Unavailable, load, multiplies_bf16

_CHANNEL_MULTIPLE = 16  # floats of a vector of the kernels, LANES in simd.h
# Beyond this, 36 matrices of the Winograd domain outgrow a core's cache, and oneDNN's direct kernels win.
_WIDEST_WINOGRAD = 128


class NativeUnit(PostActivationUnit):
    """A post-activation unit that trains with one fused call."""

    def forward(self, x: Tensor) -> Tensor:
        library = _library()
        if library is None or not _serves(self._layers(), self, x):
            return super().forward(x)
        layers, bf16 = lenders(self), torch.is_autocast_enabled("cpu")
        if self.plain:
            return fused_chain(library, layers, x, Shortcut(NO_SHORTCUT), bf16=bf16)
        if self.downsample is None:
            return fused_chain(library, layers, x, Shortcut(IDENTITY), bf16=bf16)
        if isinstance(self.downsample, PadShortcut) and not _hooked(self.downsample):
            padded = Shortcut(PADDED, self.downsample.stride, self.downsample.before)
            return fused_chain(library, layers, x, padded, bf16=bf16)
        return fused_chain(library, layers, x, Shortcut(GIVEN), self.downsample(x), bf16=bf16)

    def _get_name(self) -> str:
        return PostActivationUnit.__name__


class NativeNetwork(Network):
    """A network whose stem's convolution, batch normalisation and ReLU train with one fused call."""

    def _activated_stem(self, x: Tensor) -> Tensor:
        library = _library()
        layers = [(self.conv1, self.bn1)]
        if library is None or x.requires_grad or _hooked(self.relu) or not _serves(layers, self, x):
            return super()._activated_stem(x)
        return fused_chain(library, layers, x, Shortcut(NO_SHORTCUT), bf16=torch.is_autocast_enabled("cpu"))

    def _get_name(self) -> str:
        return Network.__name__


_SWAPS: dict[type[nn.Module], type[nn.Module]] = {PostActivationUnit: NativeUnit, Network: NativeNetwork}
_SWAPPED = {native: plain for plain, native in _SWAPS.items()}


def swap_in(model: nn.Module) -> int:
    """Give every module that the kernels serve its native class; return their count, those swapped before included."""
    if _library() is None:
        return 0
    count = 0
    for module in model.modules():
        if type(module) in _SWAPS and eligible(module):
            module.__class__ = _SWAPS[type(module)]
        count += type(module) in _SWAPPED
    return count


def swap_out(model: nn.Module) -> int:
    """Give every native module its plain class back."""
    count = 0
    for module in model.modules():
        if type(module) in _SWAPPED:
            module.__class__ = _SWAPPED[type(module)]
            count += 1
    return count


def _library() -> ctypes.CDLL | None:
    library = load()
    return None if isinstance(library, Unavailable) else library


def eligible(module: nn.Module) -> bool:
    """Return whether the kernels serve what a module is, whatever call comes."""
    if isinstance(module, Network):
        return isinstance(module.relu, nn.ReLU) and _fusable([(module.conv1, module.bn1)], stem=True)
    if not isinstance(module, PostActivationUnit) or module.depth > 3:
        return False
    if any(extra is not None for extra in (module.join, module.se, module.dropout, module.stochastic_depth)):
        return False
    return _fusable(lenders(module))


def lenders(unit: PostActivationUnit) -> list[tuple[Any, Any]]:
    """Return the convolutions and normalisations of a unit; of shared ones, those that hold the weights."""
    return [(owner(conv), owner(norm)) for conv, norm in unit._layers()]


def _fusable(layers: Sequence[tuple[nn.Module, nn.Module]], stem: bool = False) -> bool:
    return all(_conv_fits(conv, stem) and _norm_fits(norm) for conv, norm in layers)


def _conv_fits(conv: nn.Module, stem: bool) -> bool:
    if type(conv) is not nn.Conv2d or conv.bias is not None or conv.groups != 1 or conv.dilation != (1, 1):
        return False
    (high, wide), (down, across) = conv.kernel_size, conv.stride
    if high != wide or high > 7 or down != across or conv.padding != (high // 2, high // 2):
        return False
    if conv.padding_mode != "zeros" or conv.out_channels % _CHANNEL_MULTIPLE:
        return False
    if not stem and conv.in_channels % _CHANNEL_MULTIPLE:
        return False
    return high == 1 or max(conv.in_channels, conv.out_channels) <= _WIDEST_WINOGRAD


def _norm_fits(norm: nn.Module) -> bool:
    return type(norm) is nn.BatchNorm2d and norm.affine


def _serves(
    layers: Sequence[tuple[nn.Module, nn.Module]], module: nn.Module, x: Tensor
) -> TypeGuard[list[tuple[nn.Conv2d, nn.BatchNorm2d]]]:
    """Return whether this call, with what is true now, may be fused."""
    if not module.training or x.dtype != torch.float32 or x.device.type != "cpu" or x.dim() != 4:
        return False
    if torch.is_autocast_enabled("cpu") and not _autocast_is_ours():
        return False
    if torch.compiler.is_compiling() or x.numel() == 0:
        return False
    # A batch of one may leave one value a channel, which has no variance: torch's own layer raises the error.
    if type(x) is not Tensor or not torch.is_grad_enabled() or len(x) < 2:
        return False
    for conv, norm in layers:
        if not norm.training or _hooked(conv) or _hooked(norm) or owner(conv).weight.dtype != torch.float32:
            return False
    return True


def _autocast_is_ours() -> bool:
    """Return whether autocast asks for what the kernels have: bf16, on a processor that multiplies it."""
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and multiplies_bf16()


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )
