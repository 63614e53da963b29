"""How a unit's input reaches its addition when the shape changes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PadShortcut(nn.Module):
    """Option A (He 2015, section 3.3): every `stride`-th pixel, new channels zero; no parameters.

    Shapes: (B, C_in, H, W) -> (B, C_out, ceil(H / stride), ceil(W / stride)). The authors append the zero channels;
    one widely used code base puts half of them before (`both_sides`).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, both_sides: bool) -> None:
        super().__init__()
        new = out_channels - in_channels
        self.stride, self.before = stride, new // 2 if both_sides else 0
        self.after = new - self.before

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, before={self.before}, after={self.after}"


def projection(conv: nn.Module, norm: nn.Module | None) -> nn.Module:
    """Build options B and C: a convolution, 1×1 as a rule, with a norm behind it where one is given (keys `0` and
    `1`)."""
    return nn.Sequential(conv, norm) if norm else nn.Sequential(conv)
