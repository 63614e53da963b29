"""Convolutional highway networks: one module that reads a `HighwaySpec`. Layers have the authors' Caffe names."""

from __future__ import annotations

from itertools import cycle, islice

from torch import Tensor, nn

from residua.families.network import Classifier, Part, chain
from residua.layers.conv import conv2d, initialise_normal
from residua.layers.head import classifier
from residua.layers.highway import HighwayLayer, initialise_highway
from residua.specs.highway import HighwaySpec


class Network(Classifier):
    """`conv1`, `conv2`, … with `transform`, where gated `gate` and perhaps `carry`; pools; classifier `fc`.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes); any H, W that leave one pixel.
    """

    spec: HighwaySpec

    def __init__(self, spec: HighwaySpec) -> None:
        super().__init__(spec)
        self.drop1 = nn.Dropout(spec.dropouts[0])
        channels, number = spec.in_channels, 0
        for stage, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
            layers = [_gated(spec, width, kernel) for kernel in islice(cycle(spec.kernels), depth)]
            if kernel := spec.entry_kernels[stage]:
                padding = kernel // 2 if spec.entry_padding == "same" else 0
                entry = nn.Conv2d(channels, width, kernel, padding=padding)
                layers.insert(0, HighwayLayer(entry, nn.ReLU(inplace=True)))
            channels = width
            last = stage == len(spec.depths) - 1
            if last and spec.head_width:
                head = conv2d(channels, spec.head_width, 1, bias=True)
                layers.append(HighwayLayer(head, nn.ReLU(inplace=True)))
                channels = spec.head_width
            for layer in layers:
                number += 1
                self.add_module(f"conv{number}", layer)
            if spec.pools[stage]:
                self.add_module(f"pool{stage + 1}", nn.MaxPool2d(spec.pools[stage], 2, ceil_mode=True))
            self.add_module(f"drop{stage + 2}", nn.Dropout(spec.dropouts[stage + 1]))
        self.avgpool = nn.AdaptiveAvgPool2d(spec.grid) if spec.global_pool else nn.Identity()
        self.fc = classifier(channels * spec.grid**2, spec.num_classes, pooled=spec.global_pool)

    def initialise(self) -> None:
        """Draw as the authors' Caffe files do; gates start at `spec.transform_bias`.

        Their first convolution asks for a Gaussian and leaves its deviation out; here it starts as the others do.
        """
        initialise_highway(self, "linear")
        if isinstance(self.fc, nn.Linear):
            initialise_normal(self.fc, 0.05)

    def parts(self) -> list[Part]:
        """Yield `conv1`, …, `pool1`, …. Dropout belongs to the layer behind it, the last to the head."""
        named: list[Part] = []
        dropout: list[nn.Module] = []
        for name, layer in self.named_children():
            if isinstance(layer, nn.Dropout):
                dropout = [layer]
            elif isinstance(layer, HighwayLayer | nn.MaxPool2d):
                named.append((name, chain(*dropout, layer)))
                dropout = []
        return named

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, C', h, w): return logits (B, spec.num_classes)."""
        dropout = self.get_submodule(f"drop{len(self.spec.dropouts)}")
        dropped = dropout(self.avgpool(features))
        logits: Tensor = self.fc(dropped.flatten(1) if self.spec.global_pool else dropped)
        return logits


def _gated(spec: HighwaySpec, width: int, kernel: int) -> HighwayLayer:
    def conv() -> nn.Module:
        return conv2d(width, width, kernel, bias=True)

    gate = conv() if spec.gates else None
    carry = conv() if spec.carry == "independent" else None
    return HighwayLayer(conv(), nn.ReLU(inplace=True), gate, spec.transform_bias, carry, spec.carry_bias)
