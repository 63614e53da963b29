"""DenseNet: one module that reads a `DenseNetSpec`. Attribute names and state-dict keys are torchvision's."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from residua.families.network import Classifier, Part, chain
from residua.layers.dense import DenseBlock, DenseLayer
from residua.layers.head import classifier, pool
from residua.specs.densenet import DenseNetSpec


class Network(Classifier):
    """`features` (stem, dense blocks with transitions between them, last BN), global average pooling, `classifier`.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes). H and W are at least twice the product of the
    strides before the last transition: 32 pixels on ImageNet, 4 for three blocks on CIFAR.
    """

    spec: DenseNetSpec

    def __init__(self, spec: DenseNetSpec) -> None:
        super().__init__(spec)
        features = nn.Sequential()
        width = spec.stem_width
        if spec.stem == "imagenet":
            features.add_module("conv0", nn.Conv2d(spec.in_channels, width, 7, 2, 3, bias=False))
            features.add_module("norm0", _norm(spec, width))
            features.add_module("relu0", nn.ReLU(inplace=True))
            features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        else:
            features.add_module("conv0", nn.Conv2d(spec.in_channels, width, 3, padding=1, bias=False))
        self.stem_layers = len(features)
        channels = spec.block_channels
        for number, (entering, leaving) in enumerate(channels, 1):
            features.add_module(f"denseblock{number}", _block(spec, spec.depths[number - 1], entering))
            if number < len(channels):
                features.add_module(f"transition{number}", _transition(spec, leaving, channels[number][0]))
        # torchvision numbers the last norm behind its four blocks; the name stays with three.
        features.add_module("norm5", _norm(spec, channels[-1][1]))
        self.features = features
        self.classifier = classifier(channels[-1][1], spec.num_classes, pooled=spec.global_pool)

    def initialise(self) -> None:
        """Draw as torchvision does: convolutions normal with variance 2 / fan-in, BN 1 and 0, the classifier uniform
        with bias 0. Section 4.2 asks for He 2015b (arXiv 1502.01852) so; the authors' Lua code takes fan-out.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
            elif isinstance(layer, nn.BatchNorm2d | nn.Linear):
                layer.reset_parameters()
        if isinstance(self.classifier, nn.Linear):
            nn.init.zeros_(self.classifier.bias)

    def parts(self) -> list[Part]:
        """Yield `stem`, `denseblock1`, `transition1`, …, and the last BN with its ReLU, `features`."""
        layers = list(self.features.named_children())
        stem = chain(*(layer for _, layer in layers[: self.stem_layers]))
        return [("stem", stem), *layers[self.stem_layers : -1], ("features", self._last_activation)]

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, C', h, w): return logits (B, spec.num_classes)."""
        logits: Tensor = self.classifier(pool(features, self.spec.global_pool))
        return logits

    def _last_activation(self, x: Tensor) -> Tensor:
        return F.relu(self.features[-1](x), inplace=True)


def _norm(spec: DenseNetSpec, channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=spec.bn_eps, momentum=spec.bn_momentum)


def _block(spec: DenseNetSpec, layers: int, channels: int) -> DenseBlock:
    return DenseBlock(
        [
            DenseLayer(
                channels + index * spec.growth,
                spec.growth,
                spec.bottleneck,
                spec.dropout,
                spec.bn_eps,
                spec.bn_momentum,
            )
            for index in range(layers)
        ],
        spec.recompute,
    )


def _transition(spec: DenseNetSpec, channels: int, out: int) -> nn.Sequential:
    transition = nn.Sequential()
    transition.add_module("norm", _norm(spec, channels))
    transition.add_module("relu", nn.ReLU(inplace=True))
    transition.add_module("conv", nn.Conv2d(channels, out, 1, bias=False))
    if spec.dropout:
        transition.add_module("dropout", nn.Dropout(spec.dropout))
    transition.add_module("pool", nn.AvgPool2d(2))
    return transition
