"""The VGG family: one module that reads a `VGGSpec`. Attribute names and state-dict keys are torchvision's."""

from __future__ import annotations

from torch import nn

from residua.families.network import DenseHeadClassifier, Part, chain
from residua.layers.conv import conv2d, initialise
from residua.layers.head import classifier
from residua.specs.vgg import VGGSpec


class Network(DenseHeadClassifier):
    """`features`: stages of 3×3 convolutions, each closed by a 2×2 max-pool; `avgpool`; `classifier`.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes); any H, W of 2^stages pixels or more.
    """

    spec: VGGSpec
    # Measured: the backward pass of its wide maps takes a third longer with the channels innermost.
    trains_channels_last = False

    def __init__(self, spec: VGGSpec) -> None:
        super().__init__(spec)
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for depth, width in zip(spec.depths, spec.widths, strict=True):
            for _ in range(depth):
                layers.append(conv2d(channels, width, 3, bias=True))
                if spec.batch_norm:
                    layers.append(nn.BatchNorm2d(width, eps=spec.bn_eps, momentum=spec.bn_momentum))
                layers.append(nn.ReLU(inplace=True))
                channels = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(spec.grid)
        self.classifier = nn.Sequential(
            nn.Linear(channels * spec.grid**2, spec.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(spec.dropout),
            nn.Linear(spec.hidden, spec.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(spec.dropout),
            classifier(spec.hidden, spec.num_classes),
        )

    def initialise(self) -> None:
        """Draw as torchvision does: He's normal convolutions, linear layers with deviation 0.01.

        The paper (section 3.1) draws all from deviation 0.01 and begins with the shallow network's weights.
        """
        initialise(self, linear_std=0.01)

    def parts(self) -> list[Part]:
        """Yield `conv1_1`, …, `pool1`, `conv2_1`, …: the authors' Caffe names. Batch normalisation belongs to its
        `conv`."""
        layers = iter(self.features)
        named: list[Part] = []
        for stage, depth in enumerate(self.spec.depths, 1):
            for index in range(1, depth + 1):
                unit = [next(layers) for _ in range(3 if self.spec.batch_norm else 2)]
                named.append((f"conv{stage}_{index}", chain(*unit)))
            named.append((f"pool{stage}", next(layers)))
        return named
