"""What a network is made of, found out by asking it: which tensors each part reads, and which its two ends are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from residua.families.build import outline
from residua.families.network import Classifier
from residua.specs.schema import Spec


@dataclass(frozen=True)
class Member:
    """A stretch of the way from the image to the logits.

    Attributes:
        name: of its end point.
        modules: that it calls, by their names in the network.
        parameters: what it learns, by their names in the network; each belongs to one stretch.
        head: whether it stands behind the features.
        aux: the auxiliary classifier that reads its end point, as a stretch of its own.
    """

    name: str
    modules: tuple[str, ...]
    parameters: tuple[str, ...]
    head: bool = False
    aux: Member | None = None


@lru_cache(8)
def members(spec: Spec) -> tuple[Member, ...]:
    """Take a network apart along its end points, those of its head last. Nothing is computed but shapes.

    Raises:
        AssertionError: a parameter that no stretch reads.
    """
    network = outline(spec).eval()
    x = torch.empty(2, spec.in_channels, spec.input_size, spec.input_size, device="meta")
    taken: set[str] = set()
    heads = network.aux_heads()
    result = []
    with torch.no_grad(), _TraceMode(network) as traced:
        for name, part in network.parts():
            x, member = _member(name, part, x, traced, taken)
            if name in heads:
                _, aux = _member(name, heads[name], x, traced, taken)
                member = replace(member, aux=replace(aux, head=True))
            result.append(member)
        for name, part in network.head_parts():
            x, member = _member(name, part, x, traced, taken)
            result.append(replace(member, head=True))
    read = [name for each in result for name in (*each.parameters, *(each.aux.parameters if each.aux else ()))]
    if sorted(read) != sorted(name for name, _ in network.named_parameters()):
        raise AssertionError(f"the parts of {spec.name} do not sum to the network")
    return tuple(result)


@lru_cache(8)
def classifier_tensors(spec: Spec) -> tuple[str, ...]:
    """Return the tensors of the state dict whose shape depends on the number of classes, those of auxiliary heads
    too."""
    return _depending(spec, spec.edit(num_classes=spec.num_classes + 1))


@lru_cache(8)
def input_tensors(spec: Spec) -> tuple[str, ...]:
    """Return the tensors of the state dict whose shape depends on the channels of the image: the first kernel."""
    return _depending(spec, spec.edit(in_channels=spec.in_channels + 1))


@lru_cache(8)
def state_shapes(spec: Spec) -> dict[str, Tensor]:
    """Return the state dict of the spec's network on the meta device: names, shapes and types."""
    return dict(outline(spec).state_dict())


def _depending(spec: Spec, other: Spec) -> tuple[str, ...]:
    changed = state_shapes(other)
    return tuple(name for name, tensor in state_shapes(spec).items() if tensor.shape != changed[name].shape)


def _member(
    name: str, part: Callable[[Tensor], Tensor], x: Tensor, traced: _TraceMode, taken: set[str]
) -> tuple[Tensor, Member]:
    with traced.noting() as noted:
        x = part(x)
    parameters = [
        f"{each}.{key}" if each else key
        for each in noted
        if each not in taken
        for key, _ in traced.network.get_submodule(each).named_parameters(recurse=False)
    ]
    taken.update(noted)
    return x, Member(name, tuple(noted), tuple(parameters))


class _TraceMode(TorchFunctionMode):
    """Notes the modules that are called, and those whose tensors a function takes without calling them."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network
        self._names = {module: name for name, module in network.named_modules()}
        self._owners = {
            id(tensor): name
            for name, module in network.named_modules()
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
        }
        self._noted: dict[str, None] = {}

    @contextmanager
    def noting(self) -> Iterator[dict[str, None]]:
        """Note what is used inside, in order."""
        self._noted = {}
        handle = nn.modules.module.register_module_forward_pre_hook(self._called)
        try:
            yield self._noted
        finally:
            handle.remove()

    def _called(self, module: nn.Module, _: Any) -> None:
        if module in self._names:
            self._noted.setdefault(self._names[module])

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in torch.utils._pytree.tree_leaves((args, kwargs)):
            if isinstance(value, Tensor) and id(value) in self._owners:
                self._noted.setdefault(self._owners[id(value)])
        return function(*args, **(kwargs or {}))
