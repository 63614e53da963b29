"""Muon on the matrices of a network, and an ordinary optimizer on the rest of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Groups = list[dict[str, Any]]


class Muon(torch.optim.Optimizer):
    """`torch.optim.Muon` (Jordan 2024, kellerjordan.github.io/posts/muon) on matrices; convolutions count as matrices.

    A convolution's weight (C_out, C_in, H, W) is updated as a matrix (C_out, C_in · H · W), as Jordan does it for
    CIFAR-10. The columns stand in the order of memory, which Muon's update does not depend on.

    Args:
        matrices: groups of parameters of two or four dimensions, with `weight_decay` and `scale`.
        rest: groups of all other parameters.
        rest_optimizer: makes the optimizer of the rest from its groups; it must have some.
        lr: learning rate until a schedule sets one.
        momentum: of Muon.
        nesterov: whether its update looks one momentum step ahead.
    """

    def __init__(
        self,
        matrices: Groups,
        rest: Groups,
        rest_optimizer: Callable[[Groups], torch.optim.Optimizer],
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
    ) -> None:
        super().__init__([*matrices, *rest], {"lr": lr})
        own = self.param_groups[: len(matrices)]
        self._parameters: list[Tensor] = [parameter for group in own for parameter in group["params"]]
        self._in_rows = [_in_rows(parameter) for parameter in self._parameters]
        flat = [_flattened(p.detach(), rows) for p, rows in zip(self._parameters, self._in_rows, strict=True)]
        views = iter(flat)
        self._muon = torch.optim.Muon(
            [
                {"params": [next(views) for _ in group["params"]], "weight_decay": group["weight_decay"]}
                for group in own
            ],
            lr=lr,
            momentum=momentum,
            nesterov=nesterov,
        )
        self._views = flat
        self._own = own
        self._rest = rest_optimizer(rest)
        # One table of states and one of groups: a checkpoint and the schedule see a single optimizer.
        self._rest.state = self.state
        self.param_groups = [*own, *self._rest.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters by their gradients.

        Args:
            closure: computes the loss again, as torch defines it.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for mine, theirs in zip(self._own, self._muon.param_groups, strict=True):
            theirs["lr"] = mine["lr"]
        for parameter, view, rows in zip(self._parameters, self._views, self._in_rows, strict=True):
            if parameter.grad is None:
                view.grad = None
                continue
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)
            view.grad = _flattened(parameter.grad, rows)
            # Of the parameter's shape in the checkpoint, so that a run may go on in another memory layout.
            self._muon.state[view] = {"momentum_buffer": _flattened(state["momentum_buffer"], rows)}
        self._muon.step()  # type: ignore[no-untyped-call]
        self._rest.step()
        return loss


def _in_rows(parameter: Tensor) -> bool:
    """Return whether memory holds a convolution's weight with the channels innermost."""
    return parameter.ndim == 4 and not parameter.is_contiguous()


def _flattened(values: Tensor, rows: bool) -> Tensor:
    """Return (C_out, everything else): of weights in the layout stated a view, of others a copy."""
    return (values.permute(0, 2, 3, 1) if rows else values).reshape(len(values), -1)
