"""Layers that stand at several places of a network with one set of weights: recurrence, unrolled."""

from __future__ import annotations

from torch import Tensor, nn


class Again(nn.Module):
    """A layer of an earlier unit, applied once more.

    Its weights stay there, in the state dict too. Hooks are its own, and those of that unit's layer do not run.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        # In a tuple, so that it is no submodule: parameters and state dict would list its weights twice.
        self._lent = (layer,)

    def forward(self, *given: Tensor) -> Tensor:
        out: Tensor = self._lent[0].forward(*given)
        return out

    def extra_repr(self) -> str:
        return repr(self._lent[0])


def lender(layer: nn.Module) -> nn.Module:
    """Return the layer whose weights are used: `layer` itself, unless it applies another one again."""
    return layer._lent[0] if isinstance(layer, Again) else layer
