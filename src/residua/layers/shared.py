"""Layers that stand at several places of a network with one set of weights: recurrence, unrolled."""

from __future__ import annotations

from torch import Tensor, nn


class SharedLayer(nn.Module):
    """A layer that an earlier unit owns, applied at a further place.

    The weights stay with the owner, in the state dict too. Hooks of the two are apart: a hook on this module runs here
    alone, one on the owner's layer there alone.

    Args:
        layer: the owner's layer.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        # In a tuple, so that it is no submodule: parameters and state dict would list its weights twice.
        self._owned = (layer,)

    def forward(self, *inputs: Tensor) -> Tensor:
        out: Tensor = self._owned[0].forward(*inputs)
        return out

    def extra_repr(self) -> str:
        return repr(self._owned[0])


def owner(layer: nn.Module) -> nn.Module:
    """Return the layer that has the weights: `layer` itself, or the one that it shares."""
    return layer._owned[0] if isinstance(layer, SharedLayer) else layer
