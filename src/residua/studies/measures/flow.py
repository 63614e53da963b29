"""Gradients on their way back through residual units, separated into shortcut and branch.

d(x + F(x))/dx = 1 + ∂F/∂x (He 2016, equation 5): a unit y = x + F(x) gives its input the gradient g + (∂F/∂x)ᵀ g for g
at its output. Where the shortcut is a projection, its own derivative stands in place of the 1. Both parts come from
automatic differentiation of each unit alone, in any of the five orders.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.families.network import Classifier
from residua.families.resnet import Network
from residua.layers.unit import ResidualUnit
from residua.studies.measures.surgery import branch_end, named_units, residual


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
class UnitGradient:
    """The gradient of the loss at one unit's input, as the sum of its two terms; each has the input's shape.

    Attributes:
        name: of the unit.
        shortcut: what came through the shortcut, the 1; zeros for a plain unit.
        branch: what came through the branch, the ∂F/∂x.
    """

    name: str
    shortcut: Tensor
    branch: Tensor

    @property
    def whole(self) -> Tensor:
        """The gradient: the sum of both."""
        return self.shortcut + self.branch

    @property
    def shortcut_share(self) -> float:
        """⟨shortcut, whole⟩ / ⟨whole, whole⟩; the branch has the rest, so that both sum to 1. NaN for no gradient."""
        square = (self.whole * self.whole).sum()
        return float((self.shortcut * self.whole).sum() / square)


@dataclass(frozen=True)
class Pass:
    """A forward pass, unit by unit.

    Attributes:
        steps: the units, in order.
        gradient: of the loss with respect to the last unit's output.
    """

    steps: tuple[Step, ...]
    gradient: Tensor


def split_gradient(
    model: Classifier, images: Tensor, labels: Tensor, *, training: bool = True
) -> tuple[UnitGradient, ...]:
    """Split the gradient of the mean cross-entropy at each unit's input into the shortcut's and the branch's term.

    Args:
        model: a network of the residual family; is not changed.
        images: (B, 3, H, W), as the network takes them.
        labels: (B,).
        training: normalise by the batch, as training does; False: by the running statistics.

    Returns:
        One entry per unit, the first unit first.

    Raises:
        InputError: the network is of a different family; images or labels that do not fit it.
    """
    network = residual(model)
    _check_batch(network, images, labels)
    flow = forward(network, images, labels, training=training)
    gradient, split = flow.gradient, []
    for step in reversed(flow.steps):
        gradient, branch = step.back(gradient)
        split.append(UnitGradient(step.name, gradient - branch, branch))
    return tuple(reversed(split))


def _check_batch(network: Network, images: Tensor, labels: Tensor) -> None:
    spec = network.spec
    if images.ndim != 4 or images.shape[1] != spec.in_channels or not bool(images.isfinite().all()):
        raise InputError(
            f"images of shape {tuple(images.shape)}",
            f"finite numbers of shape (B, {spec.in_channels}, H, W)",
            "Normalise images as the network takes them, without NaN or infinity",
        )
    if labels.shape != images.shape[:1] or not bool(((labels >= 0) & (labels < spec.num_classes)).all()):
        raise InputError(
            f"labels of shape {tuple(labels.shape)}",
            f"one label per image, 0 to {spec.num_classes - 1}",
            "Give as many labels as images",
        )


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
