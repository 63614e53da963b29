"""TF-slim as a peer: an independent reading of its published graph, computed with torch's functions alone.

TF-slim itself needs a TensorFlow of 2023. The graph is read from lists of units (tf-slim 1.1.0, nets/resnet_v2.py and
resnet_utils.py). It knows the variables by their names in a checkpoint, and nothing of our layers or specs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from residua.specs.schema import Spec
from residua.verification.draws import BIASES, LEAST_VARIANCE, MEANS_OFF, SCALES, VARIANCE_FACTORS
from residua.weights.peers.same_network import PeerNetwork

Unit = tuple[int, int, int]
"""Channels of the output, channels inside, stride."""
COUNTS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
GRAPH = "graph of tf-slim 1.1.0"


def blocks(layers: int) -> list[list[Unit]]:
    """Return the units of each block; the last of a block halves the resolution, but for the last block."""
    units = []
    for number, count in enumerate(COUNTS[layers]):
        depth, inner = 256 * 2**number, 64 * 2**number
        units.append([(depth, inner, 1)] * (count - 1) + [(depth, inner, 1 if number == 3 else 2)])
    return units


def logits_and_weights(
    peer_network: PeerNetwork, spec: Spec, images: Tensor, seed: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Draw the weights of one of TF-slim's networks, and compute its logits.

    Args:
        peer_network: the network, such as `resnet_v2_50`.
        spec: ours, for its classes.
        images: (B, C, H, W), in the type to compute in.
        seed: of the weights.

    Returns:
        The logits (B, num_classes), and the weights as checkpoints name them and lay them out, float32.
    """
    layers = int(peer_network.name.rpartition("_")[2])
    network = SlimNetwork(peer_network.name, blocks(layers), spec.num_classes, seed)
    logits = network(images)[f"{peer_network.name}/logits"].flatten(1)
    return logits, network.variables


class SlimNetwork:
    """A network in evaluation mode whose variables are drawn by the rules of `draws` when they are first read.

    The moving statistics are those of the first images that come by, somewhat off.

    Attributes:
        variables: by their names in a checkpoint, float32; kernels are (height, width, in, out).
    """

    def __init__(self, scope: str, units: Sequence[Sequence[Unit]], classes: int, seed: int = 0) -> None:
        self.scope, self.units, self.classes = scope, units, classes
        self.variables: dict[str, Tensor] = {}
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the end points of images (B, C, H, W), by their names, in order."""
        points: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor) -> Tensor:
            points[f"{self.scope}/{name}"] = value
            return value

        x = keep("conv1", self._conv(images, "conv1", 64, 7, 2, bare=True))
        x = F.max_pool2d(_padded_as_same(x), 3, 2)
        for number, units in enumerate(self.units, 1):
            for index, (depth, inner, stride) in enumerate(units, 1):
                unit = f"block{number}/unit_{index}/bottleneck_v2"
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

    def _conv(self, x: Tensor, name: str, width: int, side: int, stride: int = 1, bare: bool = False) -> Tensor:
        """Apply a convolution, (side − 1) / 2 zeros on each side; then norm and ReLU, or a bias where it is `bare`."""
        kernel = self._kernel(f"{name}/weights", (side, side, x.shape[1], width)).to(x.dtype).permute(3, 2, 0, 1)
        bias = self._uniform(f"{name}/biases", width, BIASES).to(x.dtype) if bare else None
        around = (side - 1) // 2
        y = F.conv2d(F.pad(x, (around,) * 4), kernel, bias, stride)
        return y if bare else F.relu(self._norm(y, f"{name}/BatchNorm"))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        width = x.shape[1]
        gamma = self._uniform(f"{name}/gamma", width, SCALES)
        beta = self._uniform(f"{name}/beta", width, BIASES)
        mean, variance = self._statistics(name, x)
        mean, variance, gamma, beta = (each.to(x.dtype) for each in (mean, variance, gamma, beta))
        return F.batch_norm(x, mean, variance, gamma, beta, eps=1e-5)

    def _kernel(self, name: str, shape: tuple[int, int, int, int]) -> Tensor:
        if self._is_new(name):
            self._keep(name, torch.randn(shape, generator=self._generator) * math.sqrt(2 / math.prod(shape[:3])))
        return self.variables[f"{self.scope}/{name}"]

    def _uniform(self, name: str, width: int, limits: tuple[float, float]) -> Tensor:
        if self._is_new(name):
            self._keep(name, self._drawn(width, limits))
        return self.variables[f"{self.scope}/{name}"]

    def _statistics(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance (C,); those that are new are measured on `x` (B, C, H, W), and put off."""
        names = f"{name}/moving_mean", f"{name}/moving_variance"
        if self._is_new(names[0]):
            variance, mean = torch.var_mean(x.detach(), (0, 2, 3), correction=0)
            variance = variance.clamp(min=LEAST_VARIANCE * float(variance.mean()))
            self._keep(names[0], mean + variance.sqrt() * self._drawn(len(mean), MEANS_OFF))
            self._keep(names[1], variance * self._drawn(len(mean), VARIANCE_FACTORS))
        mean, variance = (self.variables[f"{self.scope}/{each}"] for each in names)
        return mean, variance

    def _drawn(self, width: int, limits: tuple[float, float]) -> Tensor:
        return torch.empty(width).uniform_(*limits, generator=self._generator)

    def _is_new(self, name: str) -> bool:
        return f"{self.scope}/{name}" not in self.variables

    def _keep(self, name: str, value: Tensor) -> None:
        # As checkpoints keep them, whatever is computed in.
        self.variables[f"{self.scope}/{name}"] = value.float()


def _padded_as_same(x: Tensor) -> Tensor:
    """Pad for windows of 3 at stride 2 as TensorFlow's SAME does: even sides behind the image alone."""
    pads = []
    for side in (x.shape[3], x.shape[2]):
        missing = 1 + side % 2  # of the pixels that the last window reaches
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads, value=float("-inf"))
