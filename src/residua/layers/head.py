"""The last layer of a classifier: for one vector an image, at each position of a map, or absent."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PositionLinear(nn.Linear):
    """A linear layer at each position of a map, a 1×1 convolution with the weights of `nn.Linear`.

    Shapes: (B, in_features, h, w) -> (B, out_features, h, w).
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)


def classifier(channels: int, num_classes: int, *, pooled: bool = True, conv: bool = False) -> nn.Module:
    """Return the layer from `channels` features to `num_classes` logits; none of them: the identity.

    Args:
        channels: of the features.
        num_classes: logits; 0 for no classifier.
        pooled: whether the features are one vector an image, (B, channels), and no map.
        conv: the weights of a 1×1 convolution, which reads (B, channels, h, w) in any case.
    """
    if not num_classes:
        return nn.Identity()
    if conv:
        return nn.Conv2d(channels, num_classes, 1)
    return nn.Linear(channels, num_classes) if pooled else PositionLinear(channels, num_classes)


def pool(features: Tensor, globally: bool) -> Tensor:
    """Average a map over its positions, (B, C, h, w) -> (B, C); or leave it as it is."""
    return F.adaptive_avg_pool2d(features, 1).flatten(1) if globally else features
