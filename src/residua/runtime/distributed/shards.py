"""A network whose parameters are divided between the processes.

Fully sharded data parallelism (ZeRO, Rajbhandari 2020, arXiv 1910.02054, stage 3), as torch's `fully_shard` does it.
Each process holds a part of every parameter. A group of parameters is gathered before it computes, forward and
backward, and dropped after. Its gradients are added over the processes, and each keeps its part of the sums.

Import this module where it is needed alone: torch takes half a second to load what it rests on.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from residua.families.build import outline
from residua.families.network import Classifier
from residua.layers.shared import SharedLayer
from residua.runtime.device import Hardware
from residua.specs.schema import Spec

_LARGE = 1_000_000  # parameters of a layer outside the parts: from here on it is gathered alone


class Shards:
    """The parts of a network that this process holds. All processes make it, and call its methods in the same order.

    Gathered alone are the network's parts, such as residual units, and large layers outside of them. What remains, as a
    stem, is gathered with the network and stays until the end of the step. So does everything where units share
    layers. Names in the state dict stay. Gradients are sums over the processes: each has weighed its loss.

    Shapes: a parameter (N, …) -> at most (⌈N / processes⌉, …) in each process.

    Args:
        network: of the same spec in every process. It is divided in place, with the values of the first process. Its
            weights are laid out with the channels outermost: torch divides no others.

    Attributes:
        groups: names of the modules that are gathered alone.
        parameters: number of values of the network's parameters.
        held: how many of them this process holds.
    """

    def __init__(self, network: Classifier) -> None:
        network.to(memory_format=torch.contiguous_format)
        for value in network.state_dict().values():
            dist.broadcast(value.detach(), 0)
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        self._device = next(network.parameters()).device
        mesh = init_device_mesh(self._device.type, (dist.get_world_size(),))
        groups = _groups(network)
        self.groups = tuple(groups)
        for module in (*groups.values(), network):
            sharded = fully_shard(module, mesh=mesh)
            # gloo has neither means nor scaled sums.
            sharded.set_force_sum_reduction_for_comms(True)
            sharded.set_gradient_divide_factor(1.0)
        self.held = sum(part(parameter).numel() for parameter in network.parameters())
        # torch warns of logits that are a view, in case somebody works in them in place: nobody does.
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)

    def gathered(
        self, tensors: Mapping[str, Tensor], *, keep: bool = True, on: torch.device | None = None
    ) -> dict[str, Tensor]:
        """Return divided tensors as wholes; others are returned as they are.

        Args:
            tensors: by name.
            keep: whether this process wants them. Else it takes part and gets {}, with one tensor at a time in memory.
            on: the device that the wholes come to, each before the next is gathered; None for their own.
        """
        wholes: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            value = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if keep:
                wholes[name] = value if on is None else value.to(on)
        return wholes

    def network(self, spec: Spec, tensors: Mapping[str, Tensor], hardware: Hardware) -> Classifier:
        """Return a network with whole weights, which computes without the other processes.

        Args:
            spec: of the divided network.
            tensors: its state dict, or an average of it.
            hardware: where and how it computes.
        """
        network = outline(spec)
        network.load_state_dict(self.gathered(tensors), assign=True)
        return hardware.place(network)

    def divided(self, whole: Tensor | None, like: Tensor) -> Tensor:
        """Return this process's part of a tensor that the first process has.

        Args:
            whole: the tensor in the first process, None in the others.
            like: of its shape and type. Where it is divided, the result is so too; else all get the whole.
        """
        value = torch.empty(like.shape, dtype=like.dtype, device=self._device)
        if whole is not None:
            value.copy_(whole)
        if isinstance(like, DTensor):
            return distribute_tensor(value, like.device_mesh, like.placements)
        dist.broadcast(value, 0)
        return value


def part(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor, in its memory: all of one that is not divided."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _groups(network: Classifier) -> dict[str, nn.Module]:
    """Return the modules that are gathered alone, by name; none is inside another."""
    if any(isinstance(module, SharedLayer) for module in network.modules()):
        # A layer that several units share belongs to none of them: it is needed before and after each.
        return {}
    names = {module: name for name, module in network.named_modules()}
    # A part that is a function calls layers of the network one by one, and is no module that torch could follow.
    units = [unit for _, unit in network.parts() if isinstance(unit, nn.Module) and [*unit.parameters()]]
    inside = {module for unit in units for module in unit.modules()}
    outside = [module for module in network.modules() if module not in inside]
    large = [each for each in outside if sum(p.numel() for p in each.parameters(recurse=False)) >= _LARGE]
    return {names[module]: module for module in (*units, *large)}
