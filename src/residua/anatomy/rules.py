"""What the usual operations cost, see and keep: formulas, so that a pass needs no arithmetic of torch's.

Counted as FLOPs besides the multiply-accumulates: one for each addition, multiplication, division, comparison and
transcendental function of an element. A bias adds one an output, batch normalisation two (scale and shift, as at
inference), a pool one for each pixel under its window.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from residua.anatomy.field import WHOLE, Field
from residua.anatomy.trace import FLOAT_BYTES, Operation, Rule, Storage, Trace, Value

Pair = tuple[int, int]


def _pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _inputs(values: tuple[Value, ...], output: Value) -> Iterable[Storage]:
    return (value.storage for value in values)


def _output(values: tuple[Value, ...], output: Value) -> Iterable[Storage]:
    return (output.storage,)


def _field(trace: Trace, tensor: Tensor) -> Field:
    value = trace.known(tensor)
    return value.field if value else WHOLE


def _conv2d(
    trace: Trace,
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
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
        field=_field(trace, input).through((kernel[0], kernel[1]), step, before, spread),
        weights=(weight, bias),
        macs=math.prod(shape) * depth * math.prod(kernel),
        flops=math.prod(shape) if bias is not None else 0,
        keeps=_inputs,
        window=((kernel[0], kernel[1]), step, before),
        groups=groups,
    )


def _linear(trace: Trace, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002
    shape = (*input.shape[:-1], weight.shape[0])
    return trace.record(
        "linear",
        (input,),
        shape,
        field=WHOLE if len(shape) == 2 else None,
        weights=(weight, bias),
        macs=math.prod(shape) * weight.shape[1],
        flops=math.prod(shape) if bias is not None else 0,
        keeps=_inputs,
    )


def _batch_norm(
    trace: Trace,
    input: Tensor,  # noqa: A002
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    # In training the mean and the reciprocal deviation of the batch are kept beside the input.
    statistics = Storage(2 * input.shape[1] * FLOAT_BYTES if training else 0)
    return trace.record(
        "batch_norm",
        (input,),
        input.shape,
        weights=(weight, bias),
        flops=2 * input.numel(),
        keeps=lambda values, output: (values[0].storage, statistics),
    )


def _max_pool2d(
    trace: Trace,
    input: Tensor,  # noqa: A002
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    # The index of each maximum is an int64.
    def keeps(values: tuple[Value, ...], output: Value) -> Iterable[Storage]:
        return values[0].storage, Storage(8 * output.numel)

    return _pool(trace, "max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode, keeps)


def _avg_pool2d(
    trace: Trace,
    input: Tensor,  # noqa: A002
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    return _pool(trace, "avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode, _inputs)


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
        field=_field(trace, tensor).through(kernel, step, before, spread),
        flops=math.prod(shape) * math.prod(kernel),
        keeps=keeps,
        window=(kernel, step, before),
    )


def _adaptive_avg_pool2d(trace: Trace, input: Tensor, output_size: int | Sequence[int | None]) -> Tensor:  # noqa: A002
    size = input.shape[-2:]
    wanted = (output_size, output_size) if isinstance(output_size, int) else output_size
    out = [n if side is None else side for n, side in zip(size, wanted, strict=True)]
    field = _field(trace, input)
    # Windows may differ by a pixel in size and place; the largest counts, and the mean distance.
    largest = [max(-(-(i + 1) * n // m) - i * n // m for i in range(m)) for n, m in zip(size, out, strict=True)]
    strides = [n / m for n, m in zip(size, out, strict=True)]
    seen = WHOLE if out == [1, 1] else field.through((largest[0], largest[1]), (strides[0], strides[1]))
    one = out == [1, 1]
    return trace.record(
        "adaptive_avg_pool2d",
        (input,),
        (*input.shape[:-2], *out),
        field=seen,
        flops=input.numel(),
        keeps=None if one else _inputs,
    )


def _mean(trace: Trace, input: Tensor, dim: Any = None, keepdim: bool = False, **rest: Any) -> Tensor:  # noqa: A002
    axes = range(input.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {axis % input.dim() for axis in axes}
    shape = [1 if i in gone else n for i, n in enumerate(input.shape) if keepdim or i not in gone]
    spatial = bool(gone & {2, 3}) and input.dim() == 4
    field = WHOLE if spatial else None
    return trace.record("mean", (input,), shape, field=field, flops=input.numel())


def _unary(kind: str, keeps: Callable[[tuple[Value, ...], Value], Iterable[Storage]], in_place: bool = False) -> Rule:
    def rule(trace: Trace, input: Tensor, inplace: bool = in_place) -> Tensor:  # noqa: A002
        return trace.record(kind, (input,), input.shape, in_place=inplace, flops=input.numel(), keeps=keeps)

    return rule


def _softmax(trace: Trace, input: Tensor, dim: Any = None, **rest: Any) -> Tensor:  # noqa: A002
    return trace.record("softmax", (input,), input.shape, flops=3 * input.numel(), keeps=_output)


def _dropout(
    trace: Trace,
    input: Tensor,  # noqa: A002
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    if not training or p == 0:
        return input
    # On CPUs the mask is a float tensor.
    mask = Storage(input.numel() * FLOAT_BYTES)
    return trace.record(
        "dropout",
        (input,),
        input.shape,
        in_place=inplace,
        flops=input.numel(),
        keeps=lambda values, output: (mask,),
    )


def _sum(in_place: bool) -> Rule:
    def rule(trace: Trace, input: Any, other: Any, *, alpha: float = 1, **rest: Any) -> Any:  # noqa: A002
        if trace.known(input) is None and trace.known(other) is None:
            return input if in_place else _torch(trace, torch.add, (input, other), {})
        shape = _broadcast(input, other)
        return trace.record("add", (input, other), shape, in_place=in_place, flops=math.prod(shape), shares_grad=True)

    return rule


def _mul(in_place: bool) -> Rule:
    def rule(trace: Trace, input: Any, other: Any) -> Any:  # noqa: A002
        if trace.known(input) is None and trace.known(other) is None:
            return input if in_place else _torch(trace, torch.mul, (input, other), {})
        shape = _broadcast(input, other)
        a, b = trace.known(input), trace.known(other)

        def keeps(values: tuple[Value, ...], output: Value) -> Iterable[Storage]:
            # Each factor is kept for the other's gradient.
            return [x.storage for x, y in ((a, b), (b, a)) if x and y and y.needs_grad]

        return trace.record("mul", (input, other), shape, in_place=in_place, flops=math.prod(shape), keeps=keeps)

    return rule


def _difference(reverse: bool) -> Rule:
    def rule(trace: Trace, input: Any, other: Any, **rest: Any) -> Any:  # noqa: A002
        shape = _broadcast(input, other)
        a, b = (other, input) if reverse else (input, other)
        # The subtracted one's gradient is negated into memory of its own.
        shares = trace.known(b) is None
        return trace.record("sub", (a, b), shape, flops=math.prod(shape), shares_grad=shares)

    return rule


def _cat(trace: Trace, tensors: Sequence[Tensor], dim: int = 0, **rest: Any) -> Tensor:
    shape = list(tensors[0].shape)
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    sizes = {tuple(n for i, n in enumerate(t.shape) if i != dim % len(shape)) for t in tensors}
    if len(sizes) > 1:
        raise RuntimeError(f"branches of different sizes meet: {sorted(sizes)}")
    return trace.record("cat", tuple(tensors), shape, shares_grad=True)


def _pad(trace: Trace, input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor:  # noqa: A002
    shape = list(input.shape)
    for axis, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        shape[-axis] += before + after
    top_left = (pad[2] if len(pad) > 2 else 0, pad[0])
    field = _field(trace, input).through((1, 1), (1, 1), top_left)
    return trace.record("pad", (input,), shape, field=field)


def _clone(trace: Trace, input: Tensor, **rest: Any) -> Tensor:  # noqa: A002
    if trace.known(input) is None:
        return input.clone()
    return trace.record("clone", (input,), input.shape, shares_grad=True)


def _flatten(trace: Trace, input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:  # noqa: A002
    start, end = start_dim % input.dim(), end_dim % input.dim()
    shape = (*input.shape[:start], math.prod(input.shape[start : end + 1]), *input.shape[end + 1 :])
    return trace.record("flatten", (input,), shape, view=True, shares_grad=True)


def _getitem(trace: Trace, input: Tensor, index: Any) -> Any:  # noqa: A002
    known = trace.known(input)
    if (
        known is None
        or not isinstance(index, tuple)
        or input.dim() != 4
        or not all(isinstance(i, slice) for i in index)
    ):
        return _torch(trace, Tensor.__getitem__, (input, index), {})
    parts = (*index, *[slice(None)] * (4 - len(index)))
    ranges = [range(*part.indices(n)) for part, n in zip(parts, input.shape, strict=True)]
    rows, columns = ranges[2:]
    field = known.field.through((1, 1), (rows.step, columns.step), (-rows.start, -columns.start))
    return trace.record("slice", (input,), [len(part) for part in ranges], field=field, view=True)


def _same(trace: Trace, input: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
    return input


def _size_of(function: Any) -> Rule:
    return lambda trace, *args, **kwargs: function(*args, **kwargs)


def _torch(trace: Trace, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run an operation without a rule on the meta device, and record what it made."""
    read = [item for item in _flat((args, kwargs)) if isinstance(item, Tensor)]
    values = [value for value in map(trace.known, read) if value is not None]
    if not values:
        result = function(*args, **kwargs)
        for tensor in _flat(result):
            # A constant made inside the network; weights and their views are none.
            if isinstance(tensor, Tensor) and tensor.device.type == "meta" and not read:
                storage = Storage(tensor.numel() * tensor.element_size())
                trace.give(tensor, Value(tuple(tensor.shape), storage, Field(), needs_grad=False))
        return result
    storages = {t.untyped_storage()._cdata: v.storage for t, v in ((t, trace.known(t)) for t in read) if v}
    weights = {t.untyped_storage()._cdata for t in read if trace.known(t) is None}
    kept: list[Storage] = []

    def pack(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in weights:
            kept.append(storages.setdefault(key, Storage(tensor.untyped_storage().nbytes())))
            held.append(tensor)
        return tensor

    held: list[Tensor] = []
    name = getattr(function, "__name__", "call")
    in_place = name.endswith("_") and not name.endswith("__")
    if in_place:
        with torch.no_grad():
            result = function(*args, **kwargs)
    else:
        # Imported here: it takes as long as a whole pass, and few networks come this way.
        from torch.utils.flop_counter import FlopCounterMode

        twins = {id(t): t.detach().requires_grad_(v.needs_grad) for t in read if (v := trace.known(t))}
        held += twins.values()
        args, kwargs = _swapped(args, twins), _swapped(kwargs, twins)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), FlopCounterMode(display=False) as counter:
            result = function(*args, **kwargs)
    outputs = [item for item in _flat(result) if isinstance(item, Tensor)]
    if not outputs:
        return result
    field = values[0].field
    for value in values[1:]:
        field = field.join(value.field)
    made = []
    for tensor in outputs:
        seen = field if tensor.dim() == 4 and tensor.shape[2:] == values[0].shape[2:] else WHOLE
        storage = storages.setdefault(tensor.untyped_storage()._cdata, Storage(tensor.untyped_storage().nbytes()))
        needs = any(value.needs_grad for value in values) or tensor.requires_grad
        value = Value(tuple(tensor.shape), storage, seen, needs and tensor.is_floating_point())
        made.append(value)
        trace.give(tensor, value)
    names = tuple(name for name in map(trace.weight, read) if name is not None)
    new = sum(value.numel for value in made if all(value.storage is not old.storage for old in values))
    trace.add(
        Operation(
            name.strip("_"),
            *trace.here,
            tuple(values),
            tuple(made),
            names,
            macs=0 if in_place else counter.get_total_flops() // 2,
            flops=new,
            kept=tuple(dict.fromkeys([made[0].storage] if in_place else kept)),
            view=not in_place and new == 0,
        )
    )
    trace._held += held
    return result


def _flat(item: Any) -> list[Any]:
    if isinstance(item, dict):
        item = list(item.values())
    return [leaf for part in item for leaf in _flat(part)] if isinstance(item, list | tuple) else [item]


def _swapped(item: Any, twins: dict[int, Tensor]) -> Any:
    if isinstance(item, dict):
        return {key: _swapped(part, twins) for key, part in item.items()}
    if isinstance(item, list | tuple) and type(item) in (list, tuple):
        return type(item)(_swapped(part, twins) for part in item)
    return twins.get(id(item), item)


def _broadcast(a: Any, b: Any) -> tuple[int, ...]:
    left, right = (tuple(x.shape) if isinstance(x, Tensor) else () for x in (a, b))
    if left == right or not right:
        return left
    sides = list(itertools.zip_longest(reversed(left), reversed(right), fillvalue=1))
    if any(m != n and 1 not in (m, n) for m, n in sides):
        raise RuntimeError(f"tensors of shapes {left} and {right} meet")
    return tuple(max(pair) for pair in reversed(sides))


def _refuse_empty(sides: Sequence[int], what: str, size: Sequence[int]) -> None:
    if min(sides) < 1:
        raise RuntimeError(f"{what} leaves nothing of {size[0]}x{size[1]} pixels")


_QUESTIONS: tuple[Any, ...] = (
    *(Tensor.dim, Tensor.size, Tensor.numel, Tensor.is_contiguous, Tensor.is_floating_point, Tensor.element_size),
    *(getattr(Tensor, name).__get__ for name in ("shape", "device", "dtype", "requires_grad", "ndim")),
)

RULES: dict[Any, Rule] = {
    None: _torch,
    F.conv2d: _conv2d,
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    F.max_pool2d: _max_pool2d,
    F.avg_pool2d: _avg_pool2d,
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
    torch.mean: _mean,
    Tensor.mean: _mean,
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), _unary("relu", _output)),
    **dict.fromkeys((torch.relu_, Tensor.relu_), _unary("relu", _output, in_place=True)),
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.sigmoid), _unary("sigmoid", _output)),
    **dict.fromkeys((Tensor.sigmoid_, torch.sigmoid_), _unary("sigmoid", _output, in_place=True)),
    **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax), _softmax),
    F.dropout: _dropout,
    **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__), _sum(in_place=False)),
    **dict.fromkeys((Tensor.add_, Tensor.__iadd__), _sum(in_place=True)),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), _mul(in_place=False)),
    **dict.fromkeys((Tensor.mul_, Tensor.__imul__), _mul(in_place=True)),
    **dict.fromkeys((torch.sub, Tensor.sub, Tensor.__sub__), _difference(reverse=False)),
    **dict.fromkeys((torch.rsub, Tensor.__rsub__), _difference(reverse=True)),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _cat),
    F.pad: _pad,
    **dict.fromkeys((torch.clone, Tensor.clone), _clone),
    **dict.fromkeys((torch.flatten, Tensor.flatten), _flatten),
    Tensor.__getitem__: _getitem,
    Tensor.contiguous: _same,
    **{function: _size_of(function) for function in _QUESTIONS},
}
"""torch's functions -> their rules; the entry None serves all others."""
