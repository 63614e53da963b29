"""Convolution and max-pooling with the padding kinds that frameworks disagree on, and their initialisation."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from residua.layers.gate import GatedSum


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: ceil(size / stride) outputs, the odd pixel padded after.

    Shapes: (B, C_in, H, W) -> (B, C_out, ceil(H / stride), ceil(W / stride)).
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, _same_padding(x, self.kernel_size, self.stride)))


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
    padding: Literal["symmetric", "same"] = "symmetric",
) -> nn.Conv2d:
    """Return a convolution that keeps the resolution at stride 1. At odd kernels and stride 1 both paddings agree."""
    if padding == "same" and stride > 1 and kernel > 1:
        return SameConv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=bias)
    return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=bias)


class SameMaxPool2d(nn.MaxPool2d):
    """Max-pooling with SAME padding of −inf; at even sizes this is Caffe's ceil mode without padding."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride)
        self.window = (kernel, kernel), (stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, _same_padding(x, *self.window), value=float("-inf"))
        return F.max_pool2d(padded, *self.window)


class ZeroPadMaxPool2d(nn.MaxPool2d):
    """Max-pooling over zeros at the border (Keras): another value wherever the input is negative there."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride)
        self.border = (kernel // 2,) * 4

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, self.border), self.kernel_size, self.stride)


def max_pool2d(kernel: int, stride: int, padding: Literal["symmetric", "zero", "same"]) -> nn.MaxPool2d:
    """Return a max-pool; "symmetric" pads −inf on both sides (torch)."""
    if padding == "same":
        return SameMaxPool2d(kernel, stride)
    if padding == "zero":
        return ZeroPadMaxPool2d(kernel, stride)
    return nn.MaxPool2d(kernel, stride, kernel // 2)


def initialise(module: nn.Module, linear_std: float | None = None) -> None:
    """Initialise every layer of `module` as the residual papers do.

    Convolutions: normal with variance 2 / fan-out (He 2015b, arXiv 1502.01852, section 2.2), biases 0, but a gate's
    starts at its own value. Batch normalisation: 1 and 0. Linear layers keep torch's uniform default, as torchvision's
    ResNets do; with `linear_std` they start normal with that deviation, biases 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear) and linear_std is not None:
            initialise_normal(layer, linear_std)
        elif isinstance(layer, nn.BatchNorm2d | nn.Linear):
            layer.reset_parameters()
    for layer in module.modules():
        if isinstance(layer, GatedSum) and layer.conv.bias is not None:
            nn.init.constant_(layer.conv.bias, layer.initial_bias)


def initialise_normal(layer: nn.Conv2d | nn.Linear, std: float, bias: float = 0.0) -> None:
    """Draw the weights from a normal distribution of mean 0, and set the biases."""
    nn.init.normal_(layer.weight, 0, std)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)


def _same_padding(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> tuple[int, int, int, int]:
    top, left = ((-(-size // s) - 1) * s + k - size for size, k, s in zip(x.shape[-2:], kernel, stride, strict=True))
    top, left = max(top, 0), max(left, 0)
    return left // 2, left - left // 2, top // 2, top - top // 2
