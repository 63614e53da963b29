"""Mixed modules of Inception-v4 and Inception-ResNet: branches side by side, as data, and the scaled residual."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residua.layers.inception import ConvNormAct, Pair


class Step(NamedTuple):
    """One Conv-BN-ReLU of a branch; `valid`: without padding."""

    width: int
    kernel: int | Pair
    stride: int = 1
    valid: bool = False


# "average": 3×3, stride 1, over the pixels that exist, as TensorFlow does; "max": 3×3, stride 2, without padding.
Branch = Sequence[Step | Literal["average", "max"]]
# (in_channels, *step) -> the step's convolution.
Maker = Callable[..., ConvNormAct]


def maker(*, eps: float, momentum: float, scale: bool) -> Maker:
    """Return what makes the Conv-BN-ReLU of a step: `make(in_channels, *step)`."""

    def make(in_channels: int, width: int, kernel: int | Pair, stride: int = 1, valid: bool = False) -> ConvNormAct:
        padding = 0 if valid else None
        return ConvNormAct(
            in_channels, width, kernel, stride=stride, padding=padding, eps=eps, momentum=momentum, scale=scale
        )

    return make


class MixedBlock(nn.Module):
    """Branches that read the same input, concatenated in order.

    Shapes: (B, channels, h, w) -> (B, out_channels, h', w').

    Args:
        channels: of the input.
        branches: their names, which are the weights' (timm's), and what they do. A branch of one layer is that layer,
            a longer one the sequence `0`, `1`, ….
        conv: makes the convolutions.

    Attributes:
        out_channels: of the concatenation.
    """

    def __init__(self, channels: int, branches: Mapping[str, Branch], conv: Maker) -> None:
        super().__init__()
        self.out_channels = 0
        self.names = tuple(branches)
        for name, branch in branches.items():
            layers, width = [], channels
            for step in branch:
                layers.append(conv(width, *step) if isinstance(step, Step) else _pool(step))
                width = step.width if isinstance(step, Step) else width
            self.add_module(name, layers[0] if len(layers) == 1 else nn.Sequential(*layers))
            self.out_channels += width

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([getattr(self, name)(x) for name in self.names], 1)


class SplitMixedBlock(nn.Module):
    """Inception-C, whose second and third branch end in a 1×3 and a 3×1 side by side (Szegedy 2016, figure 6).

    Shapes: (B, channels, h, w) -> (B, out_channels, h, w). Names of the weights are timm's.
    """

    out_channels = 6 * 256

    def __init__(self, channels: int, conv: Maker) -> None:
        super().__init__()
        row, column = (256, (1, 3)), (256, (3, 1))
        self.branch0 = conv(channels, 256, 1)
        self.branch1_0 = conv(channels, 384, 1)
        self.branch1_1a = conv(384, *row)
        self.branch1_1b = conv(384, *column)
        self.branch2_0 = conv(channels, 384, 1)
        self.branch2_1 = conv(384, 448, (3, 1))
        self.branch2_2 = conv(448, 512, (1, 3))
        self.branch2_3a = conv(512, *row)
        self.branch2_3b = conv(512, *column)
        self.branch3 = nn.Sequential(_pool("average"), conv(channels, 256, 1))

    def forward(self, x: Tensor) -> Tensor:
        short = self.branch1_0(x)
        long = self.branch2_2(self.branch2_1(self.branch2_0(x)))
        halves = [self.branch1_1a(short), self.branch1_1b(short), self.branch2_3a(long), self.branch2_3b(long)]
        return torch.cat([self.branch0(x), *halves, self.branch3(x)], 1)


class ScaledResidual(nn.Module):
    """relu(x + scale · W mixed(x)), W a 1×1 convolution with bias, without BN (Szegedy 2016, section 3.3, figure 20).

    Shapes: (B, channels, h, w) -> the same. Names of the weights are timm's: the branches' and `conv2d`.

    Args:
        channels: of the input.
        branches: see `MixedBlock`.
        conv: makes the convolutions of the branches.
        scale: of the residual.
        activated: whether a ReLU follows the sum.
    """

    def __init__(
        self, channels: int, branches: Mapping[str, Branch], conv: Maker, *, scale: float, activated: bool = True
    ) -> None:
        super().__init__()
        mixed = MixedBlock(channels, branches, conv)
        self.names = mixed.names
        for name in self.names:
            self.add_module(name, mixed.get_submodule(name))
        self.conv2d = nn.Conv2d(mixed.out_channels, channels, 1)
        self.scale, self.activated = scale, activated

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv2d(torch.cat([getattr(self, name)(x) for name in self.names], 1))
        out = torch.add(x, residual, alpha=self.scale)
        return F.relu(out, inplace=True) if self.activated else out

    def extra_repr(self) -> str:
        return f"scale={self.scale}, activated={self.activated}"


def draw_truncated(weight: Tensor, variance: float) -> None:
    """Fill `weight` from a normal distribution cut at two deviations, as slim's `variance_scaling_initializer` does.

    The deviation is √(1.3 · variance): cutting takes it back to about √variance. Values come through the inverse of
    the distribution function, a tenth of the time that rejection takes.
    """
    deviation = math.sqrt(1.3 * variance)
    cut = math.erf(math.sqrt(2))
    with torch.no_grad():
        weight.uniform_(-cut, cut).erfinv_().mul_(math.sqrt(2) * deviation)


def _pool(kind: Literal["average", "max"]) -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False) if kind == "average" else nn.MaxPool2d(3, 2)
