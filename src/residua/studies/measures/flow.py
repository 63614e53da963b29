"""Gradients on their way back through residual units, separated into shortcut and branch.

A unit y = skip(x) + F(x) gives its input the gradient g + (∂F/∂x)ᵀ g where the skip is an identity: the "1 + ∂F/∂x" of
He 2016, equation 5. Both parts come from automatic differentiation of each unit alone, in any of the five orders.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residua.families.resnet import Network
from residua.layers.unit import ResidualUnit
from residua.studies.measures.surgery import branch_end, named_units


@dataclass(frozen=True)
class Step:
    """One unit in a forward pass, with an autograd graph of its own.

    Attributes:
        name: of the unit.
        x: its input, a leaf.
        branch: the end of its branch before the addition; None for a plain unit.
        out: its output.
    """

    name: str
    x: Tensor
    branch: Tensor | None
    out: Tensor

    def back(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient at the input for `gradient` at the output: (all of it, the part through the branch).

        The difference came through the shortcut. For a plain unit both are the same.
        """
        (whole,) = torch.autograd.grad(self.out, self.x, gradient, retain_graph=True)
        if self.branch is None:
            return whole, whole
        (at_sum,) = torch.autograd.grad(self.out, self.branch, gradient, retain_graph=True)
        (through,) = torch.autograd.grad(self.branch, self.x, at_sum, retain_graph=True)
        return whole, through


@dataclass(frozen=True)
class Pass:
    """A forward pass, unit by unit.

    Attributes:
        steps: the units, in order.
        gradient: of the loss with respect to the last unit's output.
    """

    steps: tuple[Step, ...]
    gradient: Tensor


def forward(network: Network, images: Tensor, labels: Tensor, *, training: bool = True) -> Pass:
    """Run the network on a batch and return its pass, with the gradient of the mean cross-entropy at its end.

    Args:
        network: is not changed.
        images: (B, 3, H, W).
        labels: (B,).
        training: normalise by the batch, as training does; False: by the running statistics.
    """
    network = copy.deepcopy(network).train(training)
    units = {id(unit): name for name, unit in named_units(network).items()}
    steps: list[Step] = []
    x = images
    rest = []
    for _, part in network.parts():
        if isinstance(part, ResidualUnit):
            steps.append(_step(units[id(part)], part, x.detach(), network))
            x = steps[-1].out
        elif not steps:
            with torch.no_grad():
                x = part(x)
        else:
            rest.append(part)
    end = x.detach().clone().requires_grad_()
    x = end.clone()  # the layers behind may work in place
    for part in rest:
        x = part(x)
    loss = F.cross_entropy(network.forward_head(x), labels)
    (gradient,) = torch.autograd.grad(loss, end)
    return Pass(tuple(steps), gradient)


def _step(name: str, unit: ResidualUnit, x: Tensor, network: Network) -> Step:
    x = x.clone().requires_grad_()
    if unit.plain:
        return Step(name, x, None, unit(x.clone()))
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        kept.append(out)
        return out.clone()  # the addition works in place

    hook = branch_end(unit, network).register_forward_hook(keep)
    try:
        out = unit(x.clone())
    finally:
        hook.remove()
    return Step(name, x, kept[0], out)
