"""The NiN family: one module that reads a `NiNSpec`. Attribute names are those of the authors' Caffe layers."""

from __future__ import annotations

from torch import Tensor, nn

from residua.families.network import Classifier, Part, chain
from residua.layers.conv import initialise_normal
from residua.layers.head import pool
from residua.specs.nin import NiNSpec


class Network(Classifier):
    """`conv1`, `cccp1`, `cccp2`, `pool1`, `conv2`, …: each convolution with its ReLU, also the last; global average.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes), none of them negative: the authors activate
    the last convolution too. Any H, W that leave one pixel.
    """

    spec: NiNSpec

    def __init__(self, spec: NiNSpec) -> None:
        super().__init__(spec)
        channels, mixers = spec.in_channels, 0
        *inner, last = spec.widths
        for block, widths in enumerate([*inner, (*last, *([spec.num_classes] if spec.num_classes else []))], 1):
            geometry = (spec.kernels[block - 1], spec.strides[block - 1], spec.paddings[block - 1])
            for index, width in enumerate(widths):
                if index:
                    mixers += 1
                    self.add_module(f"cccp{mixers}", nn.Conv2d(channels, width, 1))
                else:
                    self.add_module(f"conv{block}", nn.Conv2d(channels, width, *geometry))
                channels = width
            if block <= len(spec.pools):
                pool = nn.MaxPool2d if spec.pools[block - 1] == "max" else nn.AvgPool2d
                self.add_module(f"pool{block}", pool(3, 2, ceil_mode=True))
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(spec.dropout)

    def initialise(self) -> None:
        """Draw normal weights with the deviations of the authors' files; biases are 0."""
        convolutions = (layer for layer in self.modules() if isinstance(layer, nn.Conv2d))
        for number, layer in enumerate(convolutions, 1):
            small = number in self.spec.init_small
            initialise_normal(layer, self.spec.init_small_std if small else self.spec.init_std)

    def parts(self) -> list[Part]:
        """Yield `conv1`, `cccp1`, `cccp2`, `pool1`, …. Dropout belongs to its pool."""
        named: list[Part] = []
        for name, layer in self.named_children():
            if name.startswith("pool"):
                dropped = int(name.removeprefix("pool")) in self.spec.dropout_pools
                named.append((name, chain(layer, self.dropout) if dropped else layer))
            elif isinstance(layer, nn.Conv2d):
                named.append((name, chain(layer, self.relu)))
        return named

    def forward_head(self, features: Tensor) -> Tensor:
        """Average features (B, spec.num_classes, h, w): return logits (B, spec.num_classes)."""
        return pool(features, self.spec.global_pool)
