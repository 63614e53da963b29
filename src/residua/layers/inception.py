"""What all inceptions are made of: convolution, batch normalisation and ReLU under the keys `conv` and `bn`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[int, int]


class ShiftBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that shifts and does not scale: no gamma (slim's and Keras's `scale=False`).

    A ReLU and another convolution follow, which can scale as well. `weight` is None, and no key of the state dict.
    """

    def __init__(self, channels: int, eps: float, momentum: float) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)
        self.register_parameter("weight", None)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


class ConvNormAct(nn.Module):
    """relu(bn(conv(x))); without batch normalisation the convolution has a bias.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, H', W').

    Args:
        kernel: (height, width), or the side of a square.
        padding: pixels of zeros on each side, (rows, columns); None: half the kernel, which keeps the resolution at
            stride 1; 0: slim's VALID.
        norm: whether there is batch normalisation.
        eps: its epsilon.
        momentum: the weight of the new batch in its running statistics (torch's convention).
        scale: whether it has a gamma.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | Pair,
        *,
        stride: int = 1,
        padding: int | Pair | None = None,
        norm: bool = True,
        eps: float = 1e-3,
        momentum: float = 0.1,
        scale: bool = True,
    ) -> None:
        super().__init__()
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        border = (high // 2, wide // 2) if padding is None else padding
        self.conv = nn.Conv2d(in_channels, out_channels, (high, wide), stride, border, bias=not norm)
        self.bn: nn.Module = nn.Identity()
        if norm:
            kind = nn.BatchNorm2d if scale else ShiftBatchNorm2d
            self.bn = kind(out_channels, eps=eps, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)
