"""Convolution and max-pooling with the padding kinds that frameworks disagree on, and their initialisation."""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from residua.layers.gate import GatedSum, IndependentSum

Init = Literal["he_fan_out", "he_truncated", "glorot_uniform", "torch"]

# Standard deviation of a standard normal variable cut at two deviations. (TF-slim rounds its inverse square to 1.3.)
_CUT_DEVIATION = 0.87962566103423978


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
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
    padding: Literal["symmetric", "same"] = "symmetric",
) -> nn.Conv2d:
    """Return a convolution that keeps the resolution at stride 1. At odd kernels and stride 1 both paddings agree.

    A 1×1 convolution has nothing to dilate. "same" is for strides without dilation.
    """
    if padding == "same" and stride > 1 and kernel > 1:
        return SameConv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=bias)
    if kernel == 1:
        dilation = 1
    border = dilation * (kernel // 2)
    return nn.Conv2d(in_channels, out_channels, kernel, stride, border, dilation, groups, bias)


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


def max_pool2d(
    kernel: int, stride: int, padding: Literal["symmetric", "zero", "same", "ceil", "valid"]
) -> nn.MaxPool2d:
    """Return a max-pool; "symmetric" pads −inf on both sides (torch), "ceil" cuts windows at the edge (Caffe), "valid"
    has whole windows alone (TensorFlow's VALID).
    """
    if padding == "valid":
        return nn.MaxPool2d(kernel, stride)
    if padding == "ceil":
        return nn.MaxPool2d(kernel, stride, ceil_mode=True)
    if padding == "same":
        return SameMaxPool2d(kernel, stride)
    if padding == "zero":
        return ZeroPadMaxPool2d(kernel, stride)
    return nn.MaxPool2d(kernel, stride, kernel // 2)


def initialise(module: nn.Module, init: Init = "he_fan_out", linear_std: float | None = None) -> None:
    """Initialise every layer of `module`: weights of convolutions by `init`, biases 0, but a gate's at its own
    value; batch normalisation 1 and 0.

    Args:
        module: a network.
        init: "he_fan_out": normal with variance 2 / fan-out (He 2015b, arXiv 1502.01852, section 2.2), while linear
            layers keep torch's uniform default, as torchvision's ResNets do. "he_truncated": normal cut at two
            deviations, variance 2 / fan-in (Keras's he_normal, TF-slim's variance_scaling_initializer).
            "glorot_uniform": uniform with variance 2 / (fan-in + fan-out) (Glorot 2010; Keras's default). These two
            hold for linear layers too. "torch": the layers' own defaults, biases included.
        linear_std: linear layers start normal with this deviation, biases 0, whatever `init` is.
    """
    as_torch: tuple[type[nn.Module], ...] = (nn.BatchNorm2d,)
    if init == "torch":
        as_torch = (nn.BatchNorm2d, nn.Conv2d, nn.Linear)
    elif init == "he_fan_out":
        as_torch = (nn.BatchNorm2d, nn.Linear)
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and linear_std is not None:
            initialise_normal(layer, linear_std)
        elif isinstance(layer, nn.BatchNorm2d | nn.Conv2d | nn.Linear) and isinstance(layer, as_torch):
            layer.reset_parameters()
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            _draw(layer.weight, init)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in module.modules():
        if isinstance(layer, GatedSum | IndependentSum) and layer.conv.bias is not None:
            nn.init.constant_(layer.conv.bias, layer.initial_bias)
        if isinstance(layer, IndependentSum) and layer.carry.bias is not None:
            nn.init.constant_(layer.carry.bias, layer.carry_bias)


def initialise_normal(layer: nn.Conv2d | nn.Linear, std: float, bias: float = 0.0) -> None:
    """Draw the weights from a normal distribution of mean 0, and set the biases."""
    nn.init.normal_(layer.weight, 0, std)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)


def _draw(weight: Tensor, init: Init) -> None:
    if init == "glorot_uniform":
        nn.init.xavier_uniform_(weight)
    elif init == "he_truncated":
        deviation = math.sqrt(2 / weight[0].numel()) / _CUT_DEVIATION
        nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    else:
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def _same_padding(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> tuple[int, int, int, int]:
    top, left = ((-(-size // s) - 1) * s + k - size for size, k, s in zip(x.shape[-2:], kernel, stride, strict=True))
    top, left = max(top, 0), max(left, 0)
    return left // 2, left - left // 2, top // 2, top - top // 2
