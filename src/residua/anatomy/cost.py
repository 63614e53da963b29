"""What a network costs, from one pass on the meta device: no memory, no arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from residua.families.build import build
from residua.specs.schema import Spec


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        params: trainable parameters.
        macs: multiply-accumulates of convolutions and linear layers, one image forward; biases, BN, pooling and
            activations are not counted.
    """

    params: int
    macs: int


def cost(spec: Spec, *, training: bool = False) -> Cost:
    """Count the parameters, and the MACs at the spec's published input size.

    Args:
        spec: the network.
        training: count the graph that training runs forward, auxiliary classifiers included.
    """
    # Imported here: it takes as long as a whole pass of `inspect`, which does without it.
    from torch.utils.flop_counter import FlopCounterMode

    # Batch normalisation in training refuses one value a channel, which one image may leave.
    images = 2 if training else 1
    with torch.device("meta"):
        network = build(spec).train(training)
        batch = torch.empty(images, spec.in_channels, spec.input_size, spec.input_size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(batch)
    return Cost(sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2 // images)
