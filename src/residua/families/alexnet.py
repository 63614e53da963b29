"""The AlexNet family: one module that reads an `AlexNetSpec`. Attribute names and state-dict keys are torchvision's."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from residua.families.network import DenseHeadClassifier, Part, chain
from residua.layers.conv import initialise_normal
from residua.layers.head import classifier
from residua.layers.norm import LocalResponseNorm
from residua.specs.alexnet import AlexNetSpec

_POOLED = (1, 2, 5)
_NORMALISED = (1, 2)


class Network(DenseHeadClassifier):
    """`features`: five convolutions, pools behind the first, second and fifth; `avgpool`; `classifier`.

    Normalisation stands in its pool's place and dropout in its neighbour's, so that all rows share one set of keys:
    features.{0,3,6,8,10}, classifier.{1,4,6}.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes); any H, W that leave one pixel.
    """

    spec: AlexNetSpec

    def __init__(self, spec: AlexNetSpec) -> None:
        super().__init__(spec)
        pool_paddings = dict(zip(_POOLED, spec.pool_paddings, strict=True))
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for number, (width, kernel, stride, padding, groups) in enumerate(
            zip(spec.widths, spec.kernels, spec.strides, spec.paddings, spec.groups, strict=True), 1
        ):
            layers += [nn.Conv2d(channels, width, kernel, stride, padding, groups=groups), nn.ReLU(inplace=True)]
            channels = width
            if number in _POOLED:
                pool = nn.MaxPool2d(3, 2, pool_paddings[number], ceil_mode=spec.pool_ceil)
                layers.append(_normalised(spec, pool) if number in _NORMALISED else pool)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(spec.grid)
        before = spec.dropout_site == "before"
        self.classifier = nn.Sequential(
            nn.Dropout(spec.dropout) if before else nn.Identity(),
            nn.Linear(channels * spec.grid**2, spec.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(spec.dropout),
            nn.Linear(spec.hidden, spec.hidden),
            nn.ReLU(inplace=True) if before else nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(spec.dropout)),
            classifier(spec.hidden, spec.num_classes),
        )

    def initialise(self) -> None:
        """Draw normal weights, and set biases to 0 or `spec.init_bias` (Krizhevsky 2012, section 5); else as torch's
        layers."""
        if self.spec.init_std is None:
            super().initialise()
            return
        weighted = (layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
        for number, layer in enumerate(weighted, 1):
            bias = self.spec.init_bias if number in self.spec.init_bias_layers else 0.0
            initialise_normal(layer, self.spec.init_std, bias)

    def parts(self) -> list[Part]:
        """Yield `conv1`, `norm1`, `pool1`, …, `pool5`: Caffe's names."""
        layers = iter(self.features)
        named: list[Part] = []
        for number in range(1, len(self.spec.widths) + 1):
            named.append((f"conv{number}", chain(next(layers), next(layers))))
            if number in _POOLED:
                module = next(layers)
                children = module.named_children() if isinstance(module, nn.Sequential) else [("pool", module)]
                named += [(f"{kind}{number}", layer) for kind, layer in children]
        return named


def _normalised(spec: AlexNetSpec, pool: nn.Module) -> nn.Module:
    if spec.lrn == "none":
        return pool
    norm = LocalResponseNorm(spec.lrn_size, spec.lrn_alpha, spec.lrn_beta, spec.lrn_k)
    both = [("norm", norm), ("pool", pool)]
    return nn.Sequential(OrderedDict(both if spec.lrn == "before_pool" else both[::-1]))
