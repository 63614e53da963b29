"""Inception-v4: one module that reads an `InceptionV4Spec`. Attribute names and state-dict keys are timm's."""

from __future__ import annotations

import string

from torch import Tensor, nn

from residua.families.network import Classifier, Part
from residua.layers.head import classifier, pool
from residua.layers.inception import AuxHead, fan_in
from residua.layers.mixed import Branch, Maker, MixedBlock, SplitMixedBlock, Step, draw_truncated, maker
from residua.specs.inception_v4 import InceptionV4Spec

Table = dict[str, Branch]

_ROW, _COLUMN = (1, 7), (7, 1)

# Figure 3, from the first of its concatenations on.
STEM: dict[str, Table] = {
    "Mixed_3a": {"maxpool": ["max"], "conv": [Step(96, 3, 2, valid=True)]},
    "Mixed_4a": {
        "branch0": [Step(64, 1), Step(96, 3, valid=True)],
        "branch1": [Step(64, 1), Step(64, _ROW), Step(64, _COLUMN), Step(96, 3, valid=True)],
    },
    "Mixed_5a": {"conv": [Step(192, 3, 2, valid=True)], "maxpool": ["max"]},
}
# Figure 4.
_INCEPTION_A: Table = {
    "branch0": [Step(96, 1)],
    "branch1": [Step(64, 1), Step(96, 3)],
    "branch2": [Step(64, 1), Step(96, 3), Step(96, 3)],
    "branch3": ["average", Step(96, 1)],
}
# Figure 5.
_INCEPTION_B: Table = {
    "branch0": [Step(384, 1)],
    "branch1": [Step(192, 1), Step(224, _ROW), Step(256, _COLUMN)],
    "branch2": [Step(192, 1), Step(192, _COLUMN), Step(224, _ROW), Step(224, _COLUMN), Step(256, _ROW)],
    "branch3": ["average", Step(128, 1)],
}
# Figure 8.
_REDUCTION_B: Table = {
    "branch0": [Step(192, 1), Step(192, 3, 2, valid=True)],
    "branch1": [Step(256, 1), Step(256, _ROW), Step(320, _COLUMN), Step(320, 3, 2, valid=True)],
    "branch2": ["max"],
}


def stem_convolutions(in_channels: int, conv: Maker) -> list[nn.Module]:
    """Build the three convolutions with which Inception-v3, -v4 and Inception-ResNet-v2 begin: 1a, 2a, 2b."""
    return [
        conv(in_channels, 32, 3, 2, valid=True),
        conv(32, 32, 3, valid=True),
        conv(32, 64, 3),
    ]


def reduction_a(filters: tuple[int, int, int, int]) -> Table:
    """Build figure 7, with the filters k, l, m, n of table 1."""
    reducing, inner, longer, shorter = filters
    return {
        "branch0": [Step(shorter, 3, 2, valid=True)],
        "branch1": [Step(reducing, 1), Step(inner, 3), Step(longer, 3, 2, valid=True)],
        "branch2": ["max"],
    }


class Network(Classifier):
    """`features` (stem, Inception-A, -B and -C modules with reductions between them), pooling, `last_linear`.

    In training, with `aux_heads`, it returns `AuxLogits`: `AuxLogits` reads the last Inception-B.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes); H and W from 75 pixels on.
    """

    spec: InceptionV4Spec

    def __init__(self, spec: InceptionV4Spec) -> None:
        super().__init__(spec)
        conv = maker(eps=spec.bn_eps, momentum=spec.bn_momentum, scale=spec.bn_scale)
        layers, channels = stem_convolutions(spec.in_channels, conv), 64
        for table in _tables(spec).values():
            module = MixedBlock(channels, table, conv) if table else SplitMixedBlock(channels, conv)
            layers.append(module)
            channels = module.out_channels
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(spec.dropout)
        self.last_linear = classifier(channels, spec.num_classes, pooled=spec.global_pool)
        if spec.builds_aux_heads:
            read = dict(self.parts())[self._aux_point()]
            assert isinstance(read, MixedBlock)
            self.AuxLogits = AuxHead(read.out_channels, spec.num_classes, conv)

    def initialise(self) -> None:
        """Draw as slim does: convolutions from a truncated normal of variance 2 / fan-in
        (`variance_scaling_initializer`), BN 1 and 0, linear layers Glorot-uniform with bias 0. timm leaves torch's
        uniform defaults.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                draw_truncated(layer.weight, 2 / fan_in(layer))
            elif isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()

    def parts(self) -> list[Part]:
        """Yield slim's end points: `Conv2d_1a_3x3`, `Conv2d_2a_3x3`, `Conv2d_2b_3x3`, `Mixed_3a`, …, `Mixed_7d`."""
        names = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", *_tables(self.spec)]
        return list(zip(names, self.features, strict=True))

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, C', h, w): return logits (B, spec.num_classes)."""
        logits: Tensor = self.last_linear(self.dropout(pool(features, self.spec.global_pool)))
        return logits

    def aux_heads(self) -> dict[str, nn.Module]:
        """Yield `AuxLogits` on the last Inception-B, Mixed_6h as published; or none."""
        return {self._aux_point(): self.AuxLogits} if self.spec.builds_aux_heads else {}

    def _aux_point(self) -> str:
        return _name(6, self.spec.depths[1])


def _tables(spec: InceptionV4Spec) -> dict[str, Table]:
    """Return the modules behind the stem's convolutions, in order; an empty table stands for Inception-C."""
    first, second, third = spec.depths
    return {
        **STEM,
        **{_name(5, index): _INCEPTION_A for index in range(1, first + 1)},
        "Mixed_6a": reduction_a(spec.reduction_a),
        **{_name(6, index): _INCEPTION_B for index in range(1, second + 1)},
        "Mixed_7a": _REDUCTION_B,
        **{_name(7, index): {} for index in range(1, third + 1)},
    }


def _name(stage: int, index: int) -> str:
    letters = string.ascii_lowercase
    return f"Mixed_{stage}{letters[index]}" if index < len(letters) else f"Mixed_{stage}_{index}"
