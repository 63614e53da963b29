"""Peers' networks with nothing left at a default that could hide a difference."""

from __future__ import annotations

import torch
from torch import nn


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter and statistic, and return the network in float64, eval mode.

    Kernels keep the variance of activations (He 2015), so that the image, not the biases, decides the logits.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, like: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(like).uniform_(low, high, generator=generator)

    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                if layer.weight is not None:
                    layer.weight.copy_(uniform(0.6, 1.4, layer.weight))
                layer.bias.copy_(uniform(-0.3, 0.3, layer.bias))
                layer.running_mean.copy_(uniform(-0.3, 0.3, layer.running_mean))
                layer.running_var.copy_(uniform(0.5, 2.0, layer.running_var))
            elif isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, generator=generator)
                if layer.bias is not None:
                    layer.bias.copy_(uniform(-0.3, 0.3, layer.bias))
    return network.double().eval()
