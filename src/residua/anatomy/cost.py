"""What a network costs, from one pass on the meta device: no memory, no arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from residua.families.build import build
from residua.specs.schema import Spec


@dataclass(frozen=True)
class Cost:
    """Attributes:
    params: trainable parameters.
    macs: multiply-accumulates of convolutions and linear layers, one image forward; biases, BN, pooling and
        activations are not counted.
    """

    params: int
    macs: int


def cost(spec: Spec) -> Cost:
    """Count the parameters, and the MACs at the spec's published input size."""
    with torch.device("meta"):
        network = build(spec).eval()
        image = torch.empty(1, spec.in_channels, spec.input_size, spec.input_size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    return Cost(sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2)
