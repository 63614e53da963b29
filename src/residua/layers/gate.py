"""What multiplies features: squeeze-and-excitation in the branch, the gates of He 2016, table 1, at the addition."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """x · sigmoid(W2 relu(W1 mean(x))), one factor a channel (Hu 2018, section 3).

    Names of the weights are timm's (`fc1`, `fc2`, 1×1 convolutions with bias).
    """

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        hidden = max(1, channels // ratio)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        factors: Tensor = self.fc2(self.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * factors.sigmoid()


class ScaledSum(nn.Module):
    """shortcut_scale · skip + branch_scale · branch (He 2016, section 3.1: constant scaling)."""

    def __init__(self, shortcut_scale: float, branch_scale: float) -> None:
        super().__init__()
        self.shortcut_scale, self.branch_scale = shortcut_scale, branch_scale

    def forward(self, x: Tensor, skip: Tensor, branch: Tensor) -> Tensor:
        return self.shortcut_scale * skip + self.branch_scale * branch


class GatedSum(nn.Module):
    """(1 − g) · skip + g · branch, g = sigmoid(W x + b) (He 2016, section 3.1: exclusive gating).

    With `gate_branch=False` the branch stays whole: shortcut-only gating.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, bias: float, gate_branch: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, stride)
        self.initial_bias, self.gate_branch = bias, gate_branch

    def forward(self, x: Tensor, skip: Tensor, branch: Tensor) -> Tensor:
        gate = torch.sigmoid(self.conv(x))
        return (1 - gate) * skip + (gate * branch if self.gate_branch else branch)


class IndependentSum(nn.Module):
    """c · skip + g · branch, each a gate of its own, sigmoid(W x + b) (Srivastava 2015, arXiv 1505.00387, equation 2).

    Args:
        in_channels: of the unit's input, which the gates read.
        channels: of its output.
        stride: of the unit.
        bias: where b starts for g, which is 1 − c of exclusive gating.
        carry_bias: where it starts for c.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, bias: float, carry_bias: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, stride)
        self.carry = nn.Conv2d(in_channels, channels, 1, stride)
        self.initial_bias, self.carry_bias = bias, carry_bias

    def forward(self, x: Tensor, skip: Tensor, branch: Tensor) -> Tensor:
        out: Tensor = self.carry(x).sigmoid() * skip + self.conv(x).sigmoid() * branch
        return out


class DropoutSum(nn.Module):
    """dropout(skip) + branch (He 2016, section 3.1: dropout shortcut)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(probability)

    def forward(self, x: Tensor, skip: Tensor, branch: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(skip)
        return dropped + branch
