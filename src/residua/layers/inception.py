"""What all inceptions are made of: convolution, batch normalisation and ReLU under the keys `conv` and `bn`."""

from __future__ import annotations

from collections.abc import Callable

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


def window_pool(x: Tensor, least: int) -> Tensor:
    """Average over 5×5 windows, stride 3, as the auxiliary classifiers of the inceptions begin.

    Small images leave fewer than `least` × `least` values. There the map's averages on a grid of `least` × `least` take
    its place, so that the layers behind find what they need at every size. The published size is pooled as published.

    Shapes: (B, C, H, W) -> (B, C, h, w), h and w at least `least`.
    """
    if min(x.shape[-2:]) < 3 * least + 2:
        return F.adaptive_avg_pool2d(x, least)
    return F.avg_pool2d(x, 5, 3)


class AuxHead(nn.Module):
    """The auxiliary classifier of Inception-v3 and later: average pooling, 1×1, 5×5 to one pixel, classifier.

    Szegedy 2015, section 4; slim's Inception-v4 and Inception-ResNet-v2 have the same.

    Shapes: (B, in_channels, H, W) -> (B, num_classes).

    Args:
        conv: (in_channels, width, kernel[, stride][, valid]) -> Conv-BN-ReLU.
    """

    def __init__(self, in_channels: int, num_classes: int, conv: Callable[..., ConvNormAct]) -> None:
        super().__init__()
        self.conv0 = conv(in_channels, 128, 1)
        self.conv1 = conv(128, 768, 5, valid=True)
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.conv0(window_pool(x, 5)))
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def draw_normal(module: nn.Module, deviation: float | None) -> None:
    """Draw the weights of `module` from normal distributions; batch normalisation starts at 1 and 0.

    Biases of convolutions and linear layers keep torch's uniform default. torchvision truncates at ±2, 20 deviations
    and more from the mean, where no draw of float32 comes. The plain normal is the same, and drawn three times as fast.

    Args:
        module: whose convolutions, linear layers and batch normalisations are drawn.
        deviation: of every weight (torchvision's inceptions); None: that of variance 2 / fan-in (He 2015b, arXiv
            1502.01852, section 2.2), slim's. slim cuts off at two deviations and widens to make up for it.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=deviation or (2 / fan_in(layer)) ** 0.5)
            if layer.bias is not None:
                bound = fan_in(layer) ** -0.5
                nn.init.uniform_(layer.bias, -bound, bound)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()


def fan_in(layer: nn.Conv2d | nn.Linear) -> int:
    """Return how many values each output of the layer sums up."""
    return layer.weight[0].numel()
