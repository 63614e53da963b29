"""TF-slim's pre-activated networks, read from lists of units and computed with torch's functions alone.

An independent reading: it knows the variables by their names in a checkpoint, and nothing of our layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Unit = tuple[int, int, int]
"""Channels of the output, channels inside, stride."""
COUNTS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
_LIMITS = {"gamma": (0.6, 1.4), "moving_variance": (0.5, 2.0)}


def blocks(layers: int) -> list[list[Unit]]:
    """Return the units of each block; the last of a block halves the resolution, but for the last block."""
    found = []
    for number, count in enumerate(COUNTS[layers]):
        depth, inner = 256 * 2**number, 64 * 2**number
        found.append([(depth, inner, 1)] * (count - 1) + [(depth, inner, 1 if number == 3 else 2)])
    return found


class SlimNetwork:
    """A network in evaluation mode whose variables are drawn when they are first read, kernels (h, w, in, out)."""

    def __init__(self, scope: str, units: Sequence[Sequence[Unit]], classes: int) -> None:
        self.scope, self.units, self.classes = scope, units, classes
        self.variables: dict[str, Tensor] = {}
        self._generator = torch.Generator().manual_seed(0)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) -> the end points by their names, in order."""
        points: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor) -> Tensor:
            points[f"{self.scope}/{name}"] = value
            return value

        x = keep("conv1", self._conv(image, "conv1", 64, 7, 2, bare=True))
        x = F.max_pool2d(_padded_as_same(x), 3, 2)
        for number, units in enumerate(self.units, 1):
            for place, (depth, inner, stride) in enumerate(units, 1):
                unit = f"block{number}/unit_{place}/bottleneck_v2"
                active = F.relu(self._norm(x, f"{unit}/preact"))
                if x.shape[1] == depth:
                    skip = x[:, :, ::stride, ::stride]
                else:
                    skip = keep(f"{unit}/shortcut", self._conv(active, f"{unit}/shortcut", depth, 1, stride, bare=True))
                y = keep(f"{unit}/conv1", self._conv(active, f"{unit}/conv1", inner, 1))
                y = keep(f"{unit}/conv2", self._conv(y, f"{unit}/conv2", inner, 3, stride))
                y = keep(f"{unit}/conv3", self._conv(y, f"{unit}/conv3", depth, 1, bare=True))
                x = keep(unit, skip + y)
            keep(f"block{number}", x)
        x = F.relu(self._norm(x, "postnorm")).mean((2, 3), keepdim=True)
        logits = keep("logits", self._conv(x, "logits", self.classes, 1, bare=True))
        points["predictions"] = logits.flatten(1).softmax(1)
        return points

    def _get(self, name: str, *shape: int) -> Tensor:
        name = f"{self.scope}/{name}"
        if name not in self.variables:
            leaf = name.rpartition("/")[2]
            value = torch.empty(shape)
            if leaf == "weights":
                # Branches that add little keep 66 sums in a row from growing out of single precision.
                gain = 0.5 if "/conv3/" in name else 2.0
                value.normal_(0, math.sqrt(gain / math.prod(shape[:3])), generator=self._generator)
            else:
                value.uniform_(*_LIMITS.get(leaf, (-0.3, 0.3)), generator=self._generator)
            self.variables[name] = value
        return self.variables[name]

    def _conv(self, x: Tensor, name: str, width: int, side: int, stride: int = 1, bare: bool = False) -> Tensor:
        """Convolve, side − 1 zeros around; then normalise and activate, or add a bias where it is `bare`."""
        kernel = self._get(f"{name}/weights", side, side, x.shape[1], width).permute(3, 2, 0, 1)
        bias = self._get(f"{name}/biases", width) if bare else None
        around = (side - 1) // 2
        y = F.conv2d(F.pad(x, (around,) * 4), kernel, bias, stride)
        return y if bare else F.relu(self._norm(y, f"{name}/BatchNorm"))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        mean, variance, gamma, beta = (
            self._get(f"{name}/{leaf}", x.shape[1]) for leaf in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return F.batch_norm(x, mean, variance, gamma, beta, eps=1e-5)


def _padded_as_same(x: Tensor) -> Tensor:
    """Pad for windows of 3 at stride 2 as TensorFlow's SAME does at even sizes: behind the image alone."""
    assert x.shape[2] % 2 == x.shape[3] % 2 == 0
    return F.pad(x, (0, 1, 0, 1), value=float("-inf"))
