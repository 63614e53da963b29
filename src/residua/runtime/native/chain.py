"""A chain of convolution + batch-norm layers with ReLU, and what leads around it, as one differentiable function."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from residua.runtime.native.pool import empty, empty_images
from residua.runtime.native.structures import Chain, Layer, Shape, Weight

# In the order of `ShortcutKind` in chain.h.
NO_SHORTCUT, IDENTITY, PADDED, GIVEN = range(4)


@dataclass(frozen=True, eq=False)
class Shortcut:
    """What is added before the last ReLU: nothing, the input, every `stride`-th pixel of it padded, or a tensor."""

    kind: int = NO_SHORTCUT
    stride: int = 1
    before: int = 0


class _FusedChain(torch.autograd.Function):
    """Inputs: library, layers, shortcut, bf16, x, given shortcut or None; weight, gamma, beta of each layer."""

    @staticmethod
    def forward(
        ctx: Any,
        library: ctypes.CDLL,
        layers: Sequence[tuple[nn.Conv2d, nn.BatchNorm2d]],
        shortcut: Shortcut,
        bf16: bool,
        x: Tensor,
        shortcut_values: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        if shortcut_values is not None:
            shortcut_values = shortcut_values.contiguous(memory_format=torch.channels_last)
        table = (Layer * len(layers))()
        outputs, statistics = [], []
        height, width = x.shape[2:]
        for row, (conv, norm) in zip(table, layers, strict=True):
            kernel, stride, pad = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
            row.shape = Shape(height, width, conv.in_channels, conv.out_channels, kernel, stride, pad)
            height, width = ((size + 2 * pad - kernel) // stride + 1 for size in (height, width))
            row.epsilon = norm.eps
            if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
                row.momentum = _count_batch(norm)
                row.running_mean, row.running_var = norm.running_mean.data_ptr(), norm.running_var.data_ptr()
            outputs.append(empty(x.shape[0] * height * width * conv.out_channels))
            statistics.append(x.new_empty(2, conv.out_channels))
        result = empty_images((x.shape[0], layers[-1][0].out_channels, height, width))
        _point(table, parameters, outputs, statistics)
        chain = Chain(x.shape[0], len(layers), torch.get_num_threads(), bf16, table, x.data_ptr())
        chain.shortcut_kind, chain.stride, chain.before = shortcut.kind, shortcut.stride, shortcut.before
        chain.shortcut = None if shortcut_values is None else shortcut_values.data_ptr()
        chain.result = result.data_ptr()
        _call(library.residua_chain_forward, chain)
        ctx.save_for_backward(x, result, *parameters, *outputs, *statistics)
        ctx.library, ctx.chain, ctx.table = library, chain, table
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.table)
        x, result, *rest = ctx.saved_tensors
        parameters, outputs, statistics = rest[: 3 * count], rest[3 * count : 4 * count], rest[4 * count :]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        gradients = [torch.empty_like(p) for p in parameters]
        inner = [empty(output.numel()) for output in outputs[:-1]]
        table, chain = ctx.table, ctx.chain
        _point(table, parameters, outputs, statistics)
        for index, row in enumerate(table):
            weight, gamma, beta = gradients[3 * index : 3 * index + 3]
            row.weight_gradient = Weight(weight.data_ptr(), weight.stride())
            row.gamma_gradient, row.beta_gradient = gamma.data_ptr(), beta.data_ptr()
            row.gradient = inner[index].data_ptr() if index < count - 1 else None
        dx = empty_images(x.shape) if ctx.needs_input_grad[4] else None
        around = empty_images(result.shape) if ctx.needs_input_grad[5] else None
        chain.threads = torch.get_num_threads()
        chain.input, chain.result, chain.result_gradient = (
            x.data_ptr(),
            result.data_ptr(),
            gradient.data_ptr(),
        )
        chain.input_gradient = None if dx is None else dx.data_ptr()
        chain.shortcut_gradient = None if around is None else around.data_ptr()
        _call(ctx.library.residua_chain_backward, chain)
        return None, None, None, None, dx, around, *gradients


def fused_chain(
    library: ctypes.CDLL,
    layers: Sequence[tuple[nn.Conv2d, nn.BatchNorm2d]],
    x: Tensor,
    shortcut: Shortcut,
    shortcut_values: Tensor | None = None,
    *,
    bf16: bool = False,
) -> Tensor:
    """Compute relu(bn(conv(... relu(bn(conv(x))))) + shortcut) with training statistics; running ones are updated.

    Shapes: (B, C_in, H, W) float32 -> (B, C_out, H', W'), both channels-last.

    Args:
        library: what `library.load` returned.
        layers: one to three convolutions without bias, each with its batch normalisation; the channels behind each
            convolution are a multiple of 16.
        shortcut: what is added before the last ReLU; `shortcut_values` is the tensor of the kind GIVEN.
        bf16: let 3×3 convolutions of stride 1 multiply in bf16, forward and backward; sums, and all else, stay float32.
    """
    parameters = [p for conv, norm in layers for p in (conv.weight, norm.weight, norm.bias)]
    if shortcut_values is not None:
        shortcut_values = shortcut_values.float()  # autocast leaves it in bf16
    result: Tensor = _FusedChain.apply(library, layers, shortcut, bf16, x, shortcut_values, *parameters)
    return result


class EvaluationLayer(NamedTuple):
    """A convolution and its batch normalisation in evaluation mode.

    Attributes:
        conv: without bias.
        scale: gamma, float32 (C,).
        shift: beta, (C,).
        mean: the running mean, (C,).
        deviation: 1 / sqrt(running variance + epsilon), (C,).
    """

    conv: nn.Conv2d
    scale: Tensor
    shift: Tensor
    mean: Tensor
    deviation: Tensor


def inferred_chain(
    library: ctypes.CDLL,
    layers: Sequence[EvaluationLayer],
    x: Tensor,
    shortcut: Shortcut,
    shortcut_values: Tensor | None = None,
) -> Tensor:
    """Compute relu(bn(conv(... relu(bn(conv(x))))) + shortcut) in evaluation mode; see `fused_chain`."""
    x = x.contiguous(memory_format=torch.channels_last)
    if shortcut_values is not None:
        shortcut_values = shortcut_values.contiguous(memory_format=torch.channels_last)
    table = (Layer * len(layers))()
    outputs = []
    height, width = x.shape[2:]
    for row, layer in zip(table, layers, strict=True):
        conv = layer.conv
        kernel, stride, pad = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        row.shape = Shape(height, width, conv.in_channels, conv.out_channels, kernel, stride, pad)
        height, width = ((size + 2 * pad - kernel) // stride + 1 for size in (height, width))
        outputs.append(empty(x.shape[0] * height * width * conv.out_channels))
        row.weight = Weight(conv.weight.data_ptr(), conv.weight.stride())
        row.gamma, row.beta = layer.scale.data_ptr(), layer.shift.data_ptr()
        row.mean, row.deviation = layer.mean.data_ptr(), layer.deviation.data_ptr()
        row.output = outputs[-1].data_ptr()
    result = empty_images((x.shape[0], layers[-1].conv.out_channels, height, width))
    chain = Chain(x.shape[0], len(layers), torch.get_num_threads(), 0, table, x.data_ptr())
    chain.shortcut_kind, chain.stride, chain.before = shortcut.kind, shortcut.stride, shortcut.before
    chain.shortcut = None if shortcut_values is None else shortcut_values.data_ptr()
    chain.result = result.data_ptr()
    _call(library.residua_chain_infer, chain)
    return result


def _point(table: Any, parameters: Sequence[Tensor], outputs: Sequence[Tensor], statistics: Sequence[Tensor]) -> None:
    for index, row in enumerate(table):
        weight, gamma, beta = parameters[3 * index : 3 * index + 3]
        row.weight = Weight(weight.data_ptr(), weight.stride())
        row.gamma, row.beta = gamma.data_ptr(), beta.data_ptr()
        row.output = outputs[index].data_ptr()
        row.mean, row.deviation = (part.data_ptr() for part in statistics[index])


def _count_batch(norm: nn.BatchNorm2d) -> float:
    """Count the batch as `nn.BatchNorm2d` does; return the weight of its statistics in the running ones."""
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    if norm.momentum is not None:
        return norm.momentum
    return 1.0 / float(norm.num_batches_tracked) if norm.num_batches_tracked is not None else 0.0


def _call(function: Any, chain: Chain) -> None:
    if function(ctypes.byref(chain)):
        raise MemoryError("the fused kernels found no memory for their scratch")
