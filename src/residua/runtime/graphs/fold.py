"""Batch normalisation of evaluation mode folded into the layer beside it: fewer passes over the activations.

In evaluation mode it is y = a · x + b with one a and b per channel. A convolution or a linear layer in front takes a
into its weights and b into its bias, exactly up to rounding. So does a layer behind, unless it pads: the border would
need another bias.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from residua.families.layout import Layout
from residua.families.network import Classifier

_LINEAR: tuple[Callable[..., Tensor], ...] = (F.conv2d, F.linear)


class FoldedNorm(nn.Module):
    """Stands where a batch normalisation was that another layer does now. Shapes: any -> the same tensor."""

    def forward(self, x: Tensor) -> Tensor:
        return x


@dataclass(frozen=True, eq=False)
class Folding:
    """The result of `fold_batch_norm`.

    Attributes:
        network: a copy in evaluation mode; it takes images in the layout in which they come.
        folded: names of the batch normalisations that another layer does now, in the order of the computation.
        left: names of those that stay, in the same order.
    """

    network: nn.Module
    folded: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was done, in one line."""
        of = len(self.folded) + len(self.left)
        return f"{len(self.folded)} of {of} batch normalisations folded into convolutions and linear layers"


class _Call(NamedTuple):
    function: Callable[..., Any]
    arguments: dict[str, Any]
    inputs: list[Tensor]
    outputs: list[Tensor]


class _Owner(NamedTuple):
    name: str
    module: nn.Module | None
    attribute: str


_NOBODY = _Owner("", None, "")


def fold_batch_norm(network: nn.Module, shape: tuple[int, int, int, int]) -> Folding:
    """Fold each batch normalisation into the convolution or the linear layer beside it, where that is exact.

    It stays where what lies between the two is also read elsewhere, and where weights are applied at several places.
    It stays where an activation, an addition or a padding stands between, as in front of every pre-activated unit.

    Args:
        network: (B, C, H, W) -> logits; it stays as it is.
        shape: of a batch that it takes.
    """
    folded_network = copy.deepcopy(network).eval().requires_grad_(False)
    if isinstance(folded_network, Classifier):
        folded_network.layout = Layout()
    calls, uses = _trace(folded_network, shape)
    owners = {
        id(tensor): _Owner(name, module, attribute)
        for name, module in folded_network.named_modules()
        for attribute, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    }
    makers = {id(output): call for call in calls for output in call.outputs}
    readers = {id(tensor): call for call in calls for tensor in call.inputs}
    folded, left = [], []
    for call in calls:
        if call.function is not F.batch_norm:
            continue
        statistics = call.arguments["running_mean"]
        name, norm, _ = owners.get(id(statistics), _NOBODY)
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
            left.append(name or "a batch normalisation without statistics")
            continue
        before, after = makers.get(id(call.arguments["input"])), readers.get(id(call.outputs[0]))
        alone = uses[id(statistics)] == 1
        if alone and (layer := _layer_of(before, owners, uses)) and uses[id(call.arguments["input"])] == 1:
            _fold_into_layer_before(layer, norm)
        elif (
            alone
            and (layer := _layer_of(after, owners, uses))
            and uses[id(call.outputs[0])] == 1
            and after is not None
            and after.arguments["input"] is call.outputs[0]
            and not _pads(after)
        ):
            _fold_into_layer_after(layer, norm)
        else:
            left.append(name)
            continue
        folded_network.set_submodule(name, FoldedNorm())
        folded.append(name)
    return Folding(folded_network, tuple(folded), tuple(left))


def _trace(network: nn.Module, shape: tuple[int, int, int, int]) -> tuple[list[_Call], dict[int, int]]:
    """Return the calls of a forward pass, and how often each tensor is read, by its id.

    The pass runs on the meta device. Weights in the calls are those of `network`.
    """
    named = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shadows = {name: tensor.detach().to("meta") for name, tensor in named.items()}
    originals = {id(shadow): named[name] for name, shadow in shadows.items()}
    images = torch.empty(shape, dtype=next(network.parameters()).dtype, device="meta")
    with torch.no_grad(), _Recorder(originals) as recorder:
        outputs = torch.func.functional_call(network, shadows, (images,))
    for tensor in _tensors(outputs):
        recorder.uses[id(tensor)] = recorder.uses.get(id(tensor), 0) + 1
    return recorder.calls, recorder.uses


class _Recorder(TorchFunctionMode):
    """Records the calls that return tensors. It keeps every tensor, so that an id means one for its whole life."""

    def __init__(self, originals: dict[int, Tensor]) -> None:
        super().__init__()
        self.originals = originals
        self.calls: list[_Call] = []
        self.uses: dict[int, int] = {}
        self._kept: list[Tensor] = []

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        outputs = _tensors(result)
        if not outputs:  # a shape, a number of dimensions: no values are read
            return result
        arguments = {**dict(zip(_NAMES.get(function, ()), args, strict=False)), **(kwargs or {})}
        arguments = {key: self._original(value) for key, value in arguments.items()}
        inputs = [self._original(tensor) for tensor in _tensors((args, kwargs))]
        for tensor in inputs:
            self.uses[id(tensor)] = self.uses.get(id(tensor), 0) + 1
        self._kept += [*inputs, *outputs]
        self.calls.append(_Call(function, arguments, inputs, outputs))
        return result

    def _original(self, value: Any) -> Any:
        return self.originals.get(id(value), value) if isinstance(value, Tensor) else value


_NAMES: dict[Any, tuple[str, ...]] = {
    F.conv2d: ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    F.linear: ("input", "weight", "bias"),
    F.batch_norm: ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
}


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def _layer_of(call: _Call | None, owners: dict[int, _Owner], uses: dict[int, int]) -> nn.Conv2d | nn.Linear | None:
    """Return the layer whose call this is, if it is applied here alone."""
    if call is None or call.function not in _LINEAR:
        return None
    weight, bias = call.arguments["weight"], call.arguments.get("bias")
    _, layer, attribute = owners.get(id(weight), _NOBODY)
    if not isinstance(layer, nn.Conv2d | nn.Linear) or attribute != "weight" or uses[id(weight)] != 1:
        return None
    own_bias = bias is None or (uses[id(bias)] == 1 and owners.get(id(bias), _NOBODY).module is layer)
    return layer if own_bias else None


def _pads(call: _Call) -> bool:
    padding = call.arguments.get("padding", 0)
    return padding not in (0, "valid") and (isinstance(padding, str) or any(padding))


def _factors(norm: Any) -> tuple[Tensor, Tensor]:
    """Return a and b of y = a · x + b, float64 (C,)."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.double()


def _fold_into_layer_before(layer: nn.Conv2d | nn.Linear, norm: Any) -> None:
    scale, shift = _factors(norm)
    bias = 0 if layer.bias is None else layer.bias.double()
    weight = layer.weight.double() * scale.reshape(-1, *[1] * (layer.weight.dim() - 1))
    _replace(layer, weight, bias * scale + shift)


def _fold_into_layer_after(layer: nn.Conv2d | nn.Linear, norm: Any) -> None:
    scale, shift = _factors(norm)
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    weight = layer.weight.double()
    # Of a group: (outputs, inputs, taps). Inputs of a linear layer may be several per channel, but BN sees them all.
    split = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    extra = (split * shift.reshape(groups, 1, -1, 1)).sum((2, 3)).reshape(-1)
    scaled = (split * scale.reshape(groups, 1, -1, 1)).reshape(weight.shape)
    _replace(layer, scaled, extra if layer.bias is None else layer.bias.double() + extra)


def _replace(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor) -> None:
    dtype = layer.weight.dtype
    layer.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    layer.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
