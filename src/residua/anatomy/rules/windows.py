"""Operations that slide a window over positions, cut into them, or gather them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from residua.anatomy.receptive_field import WHOLE, Field
from residua.anatomy.rules.meta import run_on_meta
from residua.anatomy.trace import Storage, Trace, Value, inputs_alone

Pair = tuple[int, int]


def _pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _field(trace: Trace, tensor: Tensor) -> Field:
    value = trace.known(tensor)
    return value.receptive_field if value else WHOLE


def conv2d(
    trace: Trace,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Trace `torch.conv2d`, which keeps its input."""
    batch, _, *size = input.shape
    outputs, depth, *kernel = weight.shape
    step, spread = _pair(stride), _pair(dilation)
    if isinstance(padding, str):
        reach = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, spread, strict=True)]
        before, both = (reach[0] // 2, reach[1] // 2), (reach[0], reach[1])
    else:
        before = _pair(padding)
        both = (2 * before[0], 2 * before[1])
    sides = [(n + p - d * (k - 1) - 1) // s + 1 for n, p, k, s, d in zip(size, both, kernel, step, spread, strict=True)]
    _refuse_empty(sides, "a convolution", size)
    shape = (batch, outputs, *sides)
    return trace.record(
        "conv2d",
        (input,),
        shape,
        receptive_field=_field(trace, input).through((kernel[0], kernel[1]), step, before, spread),
        weights=(weight, bias),
        macs=math.prod(shape) * depth * math.prod(kernel),
        flops=math.prod(shape) if bias is not None else 0,
        keeps=inputs_alone,
        window=((kernel[0], kernel[1]), step, before),
        groups=groups,
    )


def max_pool2d(
    trace: Trace,
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Trace `F.max_pool2d`, which keeps its input and the place of each maximum."""
    if return_indices:
        return run_on_meta(
            trace, F.max_pool2d_with_indices, (input, kernel_size, stride, padding, dilation, ceil_mode), {}
        )

    # The index of each maximum is an int64.
    def keeps(values: tuple[Value, ...], output: Value) -> Iterable[Storage]:
        return values[0].storage, Storage(8 * output.numel)

    return _pool(trace, "max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode, keeps)


def avg_pool2d(
    trace: Trace,
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Trace `F.avg_pool2d`, which keeps its input."""
    return _pool(trace, "avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode, inputs_alone)


def _pool(
    trace: Trace,
    kind: str,
    tensor: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
    ceil_mode: bool,
    keeps: Callable[[tuple[Value, ...], Value], Iterable[Storage]],
) -> Tensor:
    kernel, before, spread = _pair(kernel_size), _pair(padding), _pair(dilation)
    step = _pair(stride) if stride else kernel
    size = tensor.shape[-2:]
    sides = []
    for n, k, s, p, d in zip(size, kernel, step, before, spread, strict=True):
        span = n + 2 * p - d * (k - 1) - 1
        side = -(-span // s) + 1 if ceil_mode else span // s + 1
        # The last window has to start inside the image or its padding before.
        sides.append(side - 1 if ceil_mode and (side - 1) * s >= n + p else side)
    _refuse_empty(sides, "a pool", size)
    shape = (*tensor.shape[:-2], *sides)
    return trace.record(
        kind,
        (tensor,),
        shape,
        receptive_field=_field(trace, tensor).through(kernel, step, before, spread),
        flops=math.prod(shape) * math.prod(kernel),
        keeps=keeps,
        window=(kernel, step, before),
    )


def adaptive_avg_pool2d(trace: Trace, input: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """Trace `F.adaptive_avg_pool2d`; to one pixel it is a mean, which keeps nothing."""
    size = input.shape[-2:]
    wanted = (output_size, output_size) if isinstance(output_size, int) else output_size
    out = [n if side is None else side for n, side in zip(size, wanted, strict=True)]
    receptive_field = _field(trace, input)
    # Windows may differ by a pixel in size and place; the largest counts, and the mean distance.
    largest = [max(-(-(i + 1) * n // m) - i * n // m for i in range(m)) for n, m in zip(size, out, strict=True)]
    strides = [n / m for n, m in zip(size, out, strict=True)]
    seen = WHOLE if out == [1, 1] else receptive_field.through((largest[0], largest[1]), (strides[0], strides[1]))
    one = out == [1, 1]
    return trace.record(
        "adaptive_avg_pool2d",
        (input,),
        (*input.shape[:-2], *out),
        receptive_field=seen,
        flops=input.numel(),
        keeps=None if one else inputs_alone,
    )


def mean(trace: Trace, input: Tensor, dim: Any = None, keepdim: bool = False, **rest: Any) -> Tensor:
    """Trace `torch.mean`; over positions it sees the whole image."""
    axes = range(input.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {axis % input.dim() for axis in axes}
    shape = [1 if i in gone else n for i, n in enumerate(input.shape) if keepdim or i not in gone]
    spatial = bool(gone & {2, 3}) and input.dim() == 4
    receptive_field = WHOLE if spatial else None
    return trace.record("mean", (input,), shape, receptive_field=receptive_field, flops=input.numel())


def pad(trace: Trace, input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor:
    """Trace `F.pad`, which moves the field."""
    shape = list(input.shape)
    for axis, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        shape[-axis] += before + after
    top_left = (pad[2] if len(pad) > 2 else 0, pad[0])
    receptive_field = _field(trace, input).through((1, 1), (1, 1), top_left)
    return trace.record("pad", (input,), shape, receptive_field=receptive_field)


def getitem(trace: Trace, input: Tensor, index: Any) -> Any:
    """Trace `x[a:b:c, …]`, which may skip positions, `x[:, None]`, both of weights too; others run on meta."""
    known = trace.known(input)
    if known is None and trace.weight(input) is not None:
        return trace.give_weight(input[index], input)
    if (
        known is None
        or not isinstance(index, tuple)
        or not all(part is None or isinstance(part, slice) for part in index)
    ):
        return run_on_meta(trace, Tensor.__getitem__, (input, index), {})
    slices = [part for part in index if part is not None]
    slices += [slice(None)] * (input.dim() - len(slices))
    ranges = [range(*part.indices(n)) for part, n in zip(slices, input.shape, strict=True)]
    shape: list[int] = []
    rest = iter(ranges)
    for part in index:
        shape.append(1 if part is None else len(next(rest)))
    shape += [len(part) for part in rest]
    receptive_field = known.receptive_field
    if input.dim() == 4:
        rows, columns = ranges[2:]
        receptive_field = receptive_field.through((1, 1), (rows.step, columns.step), (-rows.start, -columns.start))
    return trace.record("slice", (input,), shape, receptive_field=receptive_field, view=True)


def _refuse_empty(sides: Sequence[int], what: str, size: Sequence[int]) -> None:
    if min(sides) < 1:
        raise RuntimeError(f"{what} leaves nothing of {size[0]}x{size[1]} pixels")
