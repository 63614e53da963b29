"""Muon on the matrices of a network, and an ordinary optimizer on the rest of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Groups = list[dict[str, Any]]

# Jordan 2024: the steepest quintic whose iterates stay near 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_LEAST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon (Jordan 2024, kellerjordan.github.io/posts/muon) on matrices; convolutions count as matrices.

    A convolution's weight (C_out, C_in, H, W) is updated as a matrix (C_out, C_in · H · W), as Jordan does it for
    CIFAR-10. The columns stand in the order of memory, which the update does not depend on. `torch.optim.Muon` takes
    one matrix after the other; here those of one shape go together, with the same result in half the time on a CPU.

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
        self._momentum, self._nesterov = momentum, nesterov
        self._own = self.param_groups[: len(matrices)]
        self._rest = rest_optimizer(rest)
        # One table of states and one of groups: a checkpoint and the schedule see a single optimizer.
        self._rest.state = self.state
        self.param_groups = [*self._own, *self._rest.param_groups]

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
        for group in self._own:
            alike: dict[tuple[int, ...], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault((*parameter.shape, *parameter.stride()), []).append(parameter)
            for parameters in alike.values():
                self._update(parameters, group["lr"], group["weight_decay"])
        self._rest.step()
        return loss

    def _update(self, parameters: Sequence[Tensor], rate: float, weight_decay: float) -> None:
        """Update parameters of one shape and one layout."""
        channels_last = _is_channels_last(parameters[0])
        directions = []
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                # Of the parameter's shape in the checkpoint, so that a run may go on in another memory layout.
                state["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)
            average = state["momentum_buffer"].lerp_(parameter.grad, 1 - self._momentum)
            directions.append(
                _flattened(parameter.grad.lerp(average, self._momentum) if self._nesterov else average, channels_last)
            )
        updates = orthogonalised(torch.stack(directions))
        height, width = updates.shape[1:]
        step_size = rate * math.sqrt(max(1, height / width))
        for parameter, update in zip(parameters, updates, strict=True):
            change = _unflattened(update, parameter.shape, channels_last)
            parameter.mul_(1 - rate * weight_decay).add_(change, alpha=-step_size)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices of the same singular vectors, with singular values near 1: (N, rows, columns), in bfloat16.

    The Newton-Schulz iteration with Jordan's coefficients: singular values come to between 0.7 and 1.2, not to 1, and
    those near 0 stay below.
    """
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.flatten(1).norm(dim=1).clamp(min=_LEAST_NORM)[:, None, None]
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x


def _is_channels_last(parameter: Tensor) -> bool:
    """Return whether memory holds a convolution's weight with the channels innermost."""
    return parameter.ndim == 4 and not parameter.is_contiguous()


def _flattened(values: Tensor, channels_last: bool) -> Tensor:
    """Return (C_out, everything else), its columns in the order of memory where `values` has that layout."""
    return (values.permute(0, 2, 3, 1) if channels_last else values).reshape(len(values), -1)


def _unflattened(matrix: Tensor, shape: torch.Size, channels_last: bool) -> Tensor:
    """Return (C_out, everything else), as `_flattened` gives it, in the shape of the weight."""
    if not channels_last:
        return matrix.reshape(shape)
    outputs, inputs, height, width = shape
    return matrix.reshape(outputs, height, width, inputs).permute(0, 3, 1, 2)
