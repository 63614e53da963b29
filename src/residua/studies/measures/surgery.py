"""Take residual networks apart at test time: remove units, or reorder them (Veit 2016, section 4)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.families.network import Classifier
from residua.families.resnet import Network
from residua.layers.shared import owner
from residua.layers.unit import ResidualUnit

# In these orders a branch ends in a norm, in the others in a convolution.
_ENDS_IN_NORM = ("post", "relu_before_add", "relu_only_pre")


def residual(model: Classifier) -> Network:
    """Return the network if it has residual units, or the plain units of a network without shortcuts.

    Raises:
        InputError: it is of a different family.
    """
    if not isinstance(model, Network):
        raise InputError(f"the network {model.spec.name}", "one of residual units, or plain", "See: residua models")
    return model


def named_units(network: Network) -> dict[str, ResidualUnit]:
    """Return every unit by its name, `layer1.0` first."""
    return {
        f"layer{number}.{index}": unit  # type: ignore[misc]
        for number, stage in enumerate(network.stages(), 1)
        for index, unit in enumerate(stage)
    }


def resizing(network: Network) -> set[str]:
    """Return the units that change the shape of their input."""
    names = set()
    for name, unit in named_units(network).items():
        convs = [owner(getattr(unit, f"conv{number}")) for number in range(1, unit.depth + 1)]
        strides = {conv.stride for conv in convs if isinstance(conv, nn.Conv2d)}
        if convs[0].in_channels != convs[-1].out_channels or any(max(stride) > 1 for stride in strides):
            names.add(name)
    return names


def removable(network: Network) -> list[str]:
    """Return the units that can be removed: all of a residual network; of a plain one, those that keep the shape.

    A residual unit leaves its shortcut behind. A plain unit leaves nothing, so its neighbours must fit each other.
    """
    bound = resizing(network) if network.spec.shortcut == "none" else set()
    return [name for name in named_units(network) if name not in bound]


@contextlib.contextmanager
def without(network: Network, names: Collection[str]) -> Iterator[None]:
    """Let the branches of the named units give zeros inside the context; plain units pass their input on.

    Raises:
        InputError: a unit that does not exist, or that cannot be removed.
    """
    units, legal = named_units(network), removable(network)
    for name in names:
        if name not in legal:
            raise InputError(f"unit {name!r} of {network.spec.name}", f"one of {', '.join(legal)}", "Leave it out")
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.callback(_silence(units[name], network).remove)
        yield


def branch_end(unit: ResidualUnit, network: Network) -> nn.Module:
    """Return the last layer of a unit's branch before squeeze-and-excitation: zeros from it are a zero branch."""
    end: nn.Module = getattr(unit, f"{'bn' if network.spec.activation in _ENDS_IN_NORM else 'conv'}{unit.depth}")
    return end


def _silence(unit: ResidualUnit, network: Network) -> torch.utils.hooks.RemovableHandle:
    if unit.plain:

        def passed(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
            return kept.pop()

        # The unit may change its input in place: the copy is taken before.
        kept: list[Tensor] = []
        before = unit.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0].clone()))
        after = unit.register_forward_hook(passed)
        return _Both(before, after)
    handle: torch.utils.hooks.RemovableHandle = branch_end(unit, network).register_forward_hook(
        lambda module, inputs, out: torch.zeros_like(out)
    )
    return handle


class _Both(torch.utils.hooks.RemovableHandle):
    """Two handles, removed together."""

    def __init__(self, *handles: torch.utils.hooks.RemovableHandle) -> None:
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


@contextlib.contextmanager
def reordered(network: Network, order: Mapping[str, str]) -> Iterator[None]:
    """Put unit `order[name]` in the place of `name` inside the context; both are of one stage and keep the shape.

    Raises:
        InputError: units that cannot change places.
    """
    units, bound = named_units(network), resizing(network)
    legal = set(units) - bound
    stages = {(position.split(".")[0], moved.split(".")[0]) for position, moved in order.items()}
    if set(order) != set(order.values()) or not set(order) <= legal or any(a != b for a, b in stages):
        raise InputError(
            f"the order {dict(order)}", "units of equal shapes that change places within a stage", "Swap two"
        )
    places = {name: (network.get_submodule(name.split(".")[0]), int(name.split(".")[1])) for name in order}
    try:
        for name, moved in order.items():
            stage, index = places[name]
            stage[index] = units[moved]  # type: ignore[operator]
        yield
    finally:
        for name in order:
            stage, index = places[name]
            stage[index] = units[name]  # type: ignore[operator]


def kendall_tau(order: Collection[int]) -> float:
    """Return Kendall's rank correlation of a permutation with the natural order: 1 the same, -1 reversed."""
    pairs = list(itertools.combinations(order, 2))
    return sum(1 if a < b else -1 for a, b in pairs) / len(pairs) if pairs else 1.0
