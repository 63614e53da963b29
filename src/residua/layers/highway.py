"""The layer of highway networks, and how it starts."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class HighwayLayer(nn.Module):
    """y = T(x) · H(x) + (1 − T(x)) · x, T = sigmoid(gate(x)), H = activation(transform(x)) (Srivastava 2015, eq. 3).

    With a carry gate of its own, y = T(x) · H(x) + C(x) · x, C = sigmoid(carry(x)) (equation 2). Without a gate
    y = H(x): a plain layer. Shapes: H, T, C and, where there is a gate, x agree.

    Args:
        transform: the weights of H, a convolution or linear layer.
        activation: what H is activated by.
        gate: the weights of T, or None.
        transform_bias: where the gate's bias starts; negative: carry more than transform.
        carry: the weights of C, or None: C = 1 − T.
        carry_bias: where its bias starts; None: -transform_bias, where C = 1 − T while the weights are 0.
    """

    def __init__(
        self,
        transform: nn.Module,
        activation: nn.Module,
        gate: nn.Module | None = None,
        transform_bias: float = 0.0,
        carry: nn.Module | None = None,
        carry_bias: float | None = None,
    ) -> None:
        super().__init__()
        self.transform, self.activation, self.gate = transform, activation, gate
        if carry is not None:
            self.carry = carry
        self.independent = carry is not None
        self.transform_bias = transform_bias
        self.carry_bias = -transform_bias if carry_bias is None else carry_bias

    def forward(self, x: Tensor) -> Tensor:
        transformed: Tensor = self.activation(self.transform(x))
        if self.gate is None:
            return transformed
        if self.independent:
            out: Tensor = self.gate(x).sigmoid() * transformed + self.carry(x).sigmoid() * x
            return out
        # One kernel; exact at both ends: T = 0 gives x, T = 1 gives H, to the bit.
        return torch.lerp(x, transformed, self.gate(x).sigmoid())


def initialise_highway(module: nn.Module, nonlinearity: Literal["linear", "relu"]) -> None:
    """Draw weights uniform with variance 1 / fan-in, of ungated and transforming layers 2 / fan-in with "relu".

    1 / fan-in is what Caffe calls xavier, and Glorot's (2010) where a layer is as wide as its input; 2 / fan-in is
    He's (2015b). Biases start at 0, those of gates at their `transform_bias` and `carry_bias`.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, HighwayLayer)]
    gates = {id(layer.gate): layer.transform_bias for layer in layers}
    gates |= {id(layer.carry): layer.carry_bias for layer in layers if layer.independent}
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            gated = id(layer) in gates
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear" if gated else nonlinearity)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, gates.get(id(layer), 0.0))
