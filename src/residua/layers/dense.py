"""Dense connectivity: layers that read everything before them in their block and add `growth` channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


class DenseLayer(nn.Module):
    """BN, ReLU, 1×1 convolution, BN, ReLU, 3×3 convolution; without `bottleneck` the 3×3 alone, as `conv1`.

    Shapes: (B, C, h, w) -> (B, growth, h, w). Names of the weights are torchvision's.
    """

    def __init__(
        self, channels: int, growth: int, bottleneck: int, dropout: float, bn_eps: float, bn_momentum: float
    ) -> None:
        super().__init__()
        inner = bottleneck * growth
        self.norm1 = nn.BatchNorm2d(channels, bn_eps, bn_momentum)
        self.relu1 = nn.ReLU(inplace=True)
        if bottleneck:
            self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(inner, bn_eps, bn_momentum)
            self.relu2 = nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(inner, growth, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, growth, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout) if dropout else None
        self.bottleneck = bool(bottleneck)

    def forward(self, x: Tensor) -> Tensor:
        return self._rest(self.conv1(self.relu1(self.norm1(x))))

    def recomputed(self, features: Sequence[Tensor]) -> Tensor:
        """Return `forward` of the concatenated features, and keep neither it nor its activation for backward."""
        names = [name for name, _ in self.norm1.named_buffers()]
        before = [buffer.clone() for buffer in self.norm1.buffers()]

        def first(*features: Tensor) -> tuple[Tensor, ...]:
            # The norm moves copies of its statistics: computing it once more leaves the statistics themselves alone.
            moved = [buffer.clone() for buffer in before]
            buffers = dict(zip(names, moved, strict=True))
            x = functional_call(self.norm1, buffers, (torch.cat(features, 1),))
            return self.conv1(self.relu1(x)), *moved

        # Nothing random stands inside, so the generators' states need not be kept.
        out, *after = checkpoint(first, *features, use_reentrant=False, preserve_rng_state=False)
        with torch.no_grad():
            for buffer, moved in zip(self.norm1.buffers(), after, strict=True):
                buffer.copy_(moved)
        return self._rest(out)

    def _rest(self, out: Tensor) -> Tensor:
        if self.bottleneck:
            if self.dropout:
                out = self.dropout(out)
            out = self.conv2(self.relu2(self.norm2(out)))
        return self.dropout(out) if self.dropout else out


class DenseBlock(nn.Sequential):
    """Dense layers `denselayer1`, `denselayer2`, …; gives its input and what each layer adds, concatenated.

    Shapes: (B, C, h, w) -> (B, C + layers · growth, h, w).

    Args:
        layers: in order; each reads the channels of the block's input and of the layers before.
        recompute: see `DenseLayer.recomputed`; in training mode, where gradients are wanted.
    """

    def __init__(self, layers: Sequence[DenseLayer], recompute: bool) -> None:
        super().__init__()
        for number, layer in enumerate(layers, 1):
            self.add_module(f"denselayer{number}", layer)
        self.recompute = recompute

    def layers(self) -> list[DenseLayer]:
        """Return the dense layers, in order."""
        return list(self.children())  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        if self.recompute and self.training and torch.is_grad_enabled():
            features = [x]
            for layer in self.layers():
                features.append(layer.recomputed(features))
            return torch.cat(features, 1)
        # Growing one tensor copies as much as concatenating a list again for each layer, and its backward pass adds
        # one gradient a layer instead of one for each pair of layers.
        for layer in self.layers():
            x = torch.cat((x, layer(x)), 1)
        return x
