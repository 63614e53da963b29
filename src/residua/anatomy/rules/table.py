"""torch's functions and their rules: what they cost, see and keep, so that a pass needs no arithmetic of torch's.

Counted as FLOPs besides the multiply-accumulates: one for each addition, multiplication, division, comparison and
transcendental function of an element. A bias adds one an output, batch normalisation two (scale and shift, as at
inference), a pool one for each pixel under its window.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from residua.anatomy.rules import pointwise, windows
from residua.anatomy.rules.meta import run_on_meta
from residua.anatomy.trace import Rule, output_alone


def _size_of(function: Any) -> Rule:
    return lambda trace, *args, **kwargs: function(*args, **kwargs)


_QUESTIONS: tuple[Any, ...] = (
    *(Tensor.dim, Tensor.size, Tensor.numel, Tensor.is_contiguous, Tensor.is_floating_point, Tensor.element_size),
    *(getattr(Tensor, name).__get__ for name in ("shape", "device", "dtype", "requires_grad", "ndim")),
)

RULES: dict[Any, Rule] = {
    None: run_on_meta,
    F.conv2d: windows.conv2d,
    F.linear: pointwise.linear,
    F.batch_norm: pointwise.batch_norm,
    F.max_pool2d: windows.max_pool2d,
    F.avg_pool2d: windows.avg_pool2d,
    F.adaptive_avg_pool2d: windows.adaptive_avg_pool2d,
    torch.mean: windows.mean,
    Tensor.mean: windows.mean,
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), pointwise.unary("relu", output_alone)),
    **dict.fromkeys((torch.relu_, Tensor.relu_), pointwise.unary("relu", output_alone, in_place=True)),
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.sigmoid), pointwise.unary("sigmoid", output_alone)),
    **dict.fromkeys((Tensor.sigmoid_, torch.sigmoid_), pointwise.unary("sigmoid", output_alone, in_place=True)),
    **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax), pointwise.softmax),
    F.dropout: pointwise.dropout,
    **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__), pointwise.addition(in_place=False)),
    **dict.fromkeys((Tensor.add_, Tensor.__iadd__), pointwise.addition(in_place=True)),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), pointwise.multiplication(in_place=False)),
    **dict.fromkeys((Tensor.mul_, Tensor.__imul__), pointwise.multiplication(in_place=True)),
    **dict.fromkeys((torch.sub, Tensor.sub, Tensor.__sub__), pointwise.subtraction(reverse=False)),
    **dict.fromkeys((torch.rsub, Tensor.__rsub__), pointwise.subtraction(reverse=True)),
    **dict.fromkeys((torch.lerp, Tensor.lerp), pointwise.lerp),
    **dict.fromkeys((torch.pow, Tensor.pow, Tensor.__pow__), pointwise.power),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), pointwise.cat),
    F.pad: windows.pad,
    **dict.fromkeys((torch.clone, Tensor.clone), pointwise.clone),
    **dict.fromkeys((torch.flatten, Tensor.flatten), pointwise.flatten),
    Tensor.__getitem__: windows.getitem,
    Tensor.contiguous: pointwise.unchanged,
    **{function: _size_of(function) for function in _QUESTIONS},
}
"""torch's functions -> their rules; the entry None serves all others."""
