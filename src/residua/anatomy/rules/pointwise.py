"""Operations that treat every position alike: shape, cost, what is kept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from residua.anatomy.receptive_field import WHOLE
from residua.anatomy.rules.meta import run_on_meta
from residua.anatomy.trace import FLOAT_BYTES, Rule, Storage, Trace, Value, inputs_alone, output_alone


def linear(trace: Trace, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Trace `F.linear`, which keeps its input."""
    shape = (*input.shape[:-1], weight.shape[0])
    return trace.record(
        "linear",
        (input,),
        shape,
        receptive_field=WHOLE if len(shape) == 2 else None,
        weights=(weight, bias),
        macs=math.prod(shape) * weight.shape[1],
        flops=math.prod(shape) if bias is not None else 0,
        keeps=inputs_alone,
    )


def batch_norm(
    trace: Trace,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Trace `F.batch_norm`, which keeps its input and the statistics of the batch."""
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


def unary(kind: str, keeps: Callable[[tuple[Value, ...], Value], Iterable[Storage]], in_place: bool = False) -> Rule:
    """Trace a function of each element."""

    def rule(trace: Trace, input: Tensor, inplace: bool = in_place) -> Tensor:
        return trace.record(kind, (input,), input.shape, in_place=inplace, flops=input.numel(), keeps=keeps)

    return rule


def softmax(trace: Trace, input: Tensor, dim: Any = None, **rest: Any) -> Tensor:
    """Trace `F.softmax`, which keeps its output."""
    return trace.record("softmax", (input,), input.shape, flops=3 * input.numel(), keeps=output_alone)


def dropout(
    trace: Trace,
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    """Trace `F.dropout`, which keeps its mask."""
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


def addition(in_place: bool) -> Rule:
    """Trace `torch.add`, which keeps nothing."""

    def rule(trace: Trace, input: Any, other: Any, *, alpha: float = 1, **rest: Any) -> Any:
        if trace.known(input) is None and trace.known(other) is None:
            return input if in_place else run_on_meta(trace, torch.add, (input, other), {})
        shape = _broadcast(input, other)
        read = (input, other)
        return trace.record(
            "add", read, shape, weights=read, in_place=in_place, flops=math.prod(shape), shares_grad=True
        )

    return rule


def multiplication(in_place: bool) -> Rule:
    """Trace `torch.mul`, which keeps each factor for the other's gradient."""

    def rule(trace: Trace, input: Any, other: Any) -> Any:
        if trace.known(input) is None and trace.known(other) is None:
            return input if in_place else run_on_meta(trace, torch.mul, (input, other), {})
        shape = _broadcast(input, other)
        read = (input, other)

        def keeps(values: tuple[Value, ...], output: Value) -> Iterable[Storage]:
            # Each factor is kept for the other's gradient.
            pairs = ((trace.known(x), y) for x, y in (read, read[::-1]))
            return [value.storage for value, other in pairs if value and trace.needs_grad(other)]

        return trace.record("mul", read, shape, weights=read, in_place=in_place, flops=math.prod(shape), keeps=keeps)

    return rule


def subtraction(reverse: bool) -> Rule:
    """Trace `torch.sub`, or `torch.rsub`, which keeps nothing."""

    def rule(trace: Trace, input: Any, other: Any, **rest: Any) -> Any:
        shape = _broadcast(input, other)
        a, b = (other, input) if reverse else (input, other)
        # The subtracted one's gradient is negated into memory of its own.
        shares = trace.known(b) is None
        return trace.record("sub", (a, b), shape, weights=(a, b), flops=math.prod(shape), shares_grad=shares)

    return rule


def lerp(trace: Trace, input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """Trace `torch.lerp`, input + weight · (end − input), which keeps all three."""
    read = (input, end, weight)
    shape = _broadcast(input, end)
    return trace.record("lerp", read, shape, weights=read, flops=3 * math.prod(shape), keeps=inputs_alone)


def power(trace: Trace, input: Tensor, exponent: float) -> Any:
    """Trace `torch.pow` with a number, which keeps its input."""
    if trace.known(input) is None or not isinstance(exponent, int | float):
        return run_on_meta(trace, torch.pow, (input, exponent), {})
    return trace.record("pow", (input,), input.shape, flops=input.numel(), keeps=inputs_alone)


def cat(trace: Trace, tensors: Sequence[Tensor], dim: int = 0, **rest: Any) -> Tensor:
    """Trace `torch.cat`, which keeps nothing."""
    shape = list(tensors[0].shape)
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    sizes = {tuple(n for i, n in enumerate(t.shape) if i != dim % len(shape)) for t in tensors}
    if len(sizes) > 1:
        raise RuntimeError(f"branches of different sizes meet: {sorted(sizes)}")
    return trace.record("cat", tuple(tensors), shape, shares_grad=True)


def clone(trace: Trace, input: Tensor, **rest: Any) -> Tensor:
    """Trace `torch.clone`; of buffers, it is no part of the pass."""
    if trace.known(input) is None:
        return input.clone()
    return trace.record("clone", (input,), input.shape, shares_grad=True)


def flatten(trace: Trace, input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Trace `torch.flatten`."""
    start, end = start_dim % input.dim(), end_dim % input.dim()
    shape = (*input.shape[:start], math.prod(input.shape[start : end + 1]), *input.shape[end + 1 :])
    # With the channels innermost, maps have to be brought into the order of the flat vector.
    copied = trace.channels_last and input.dim() == 4 and input.shape[1] > 1 and math.prod(input.shape[2:]) > 1
    return trace.record("flatten", (input,), shape, view=not copied, shares_grad=True)


def unchanged(trace: Trace, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the input: the operation changes no shape."""
    return input


def _broadcast(a: Any, b: Any) -> tuple[int, ...]:
    left, right = (tuple(x.shape) if isinstance(x, Tensor) else () for x in (a, b))
    if left == right or not right:
        return left
    sides = list(itertools.zip_longest(reversed(left), reversed(right), fillvalue=1))
    if any(m != n and 1 not in (m, n) for m, n in sides):
        raise RuntimeError(f"tensors of shapes {left} and {right} meet")
    return tuple(max(pair) for pair in reversed(sides))
