"""Inception-ResNet-v2: one module that reads an `InceptionResNetSpec`. Names and state-dict keys are timm's."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from residua.families.inception_v4 import STEM, Table, reduction_a, stem_convolutions
from residua.families.network import Classifier, Part
from residua.layers.head import classifier, pool
from residua.layers.inception import AuxHead
from residua.layers.mixed import MixedBlock, ScaledResidual, Step, maker
from residua.specs.inception_resnet import InceptionResNetSpec

# As Inception-v3 begins its 35×35, with 96 instead of 64 in the first branch (slim, Mixed_5b).
_MIXED_5B: Table = {
    "branch0": [Step(96, 1)],
    "branch1": [Step(48, 1), Step(64, 5)],
    "branch2": [Step(64, 1), Step(96, 3), Step(96, 3)],
    "branch3": ["average", Step(64, 1)],
}
# Figures 16, 17 and 19.
_BLOCK_35: Table = {
    "branch0": [Step(32, 1)],
    "branch1": [Step(32, 1), Step(32, 3)],
    "branch2": [Step(32, 1), Step(48, 3), Step(64, 3)],
}
_BLOCK_17: Table = {
    "branch0": [Step(192, 1)],
    "branch1": [Step(128, 1), Step(160, (1, 7)), Step(192, (7, 1))],
}
_BLOCK_8: Table = {
    "branch0": [Step(192, 1)],
    "branch1": [Step(192, 1), Step(224, (1, 3)), Step(256, (3, 1))],
}
# Figure 18.
_REDUCTION_B: Table = {
    "branch0": [Step(256, 1), Step(384, 3, 2, valid=True)],
    "branch1": [Step(256, 1), Step(288, 3, 2, valid=True)],
    "branch2": [Step(256, 1), Step(288, 3), Step(320, 3, 2, valid=True)],
    "branch3": ["max"],
}


class Network(Classifier):
    """Stem, three repeats of scaled residual modules with reductions between them, pooling, classifier `classif`.

    In training, with `aux_heads`, it returns `AuxLogits`: `AuxLogits` reads PreAuxLogits.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes); H and W from 75 pixels on.
    """

    spec: InceptionResNetSpec

    def __init__(self, spec: InceptionResNetSpec) -> None:
        super().__init__(spec)
        conv = maker(eps=spec.bn_eps, momentum=spec.bn_momentum, scale=spec.bn_scale)

        def mixed(channels: int, table: Table) -> MixedBlock:
            return MixedBlock(channels, table, conv)

        def repeat(channels: int, table: Table, scale: float, times: int) -> nn.Sequential:
            return nn.Sequential(*(ScaledResidual(channels, table, conv, scale=scale) for _ in range(times)))

        self.conv2d_1a, self.conv2d_2a, self.conv2d_2b = stem_convolutions(spec.in_channels, conv)
        if spec.stem == "v3":
            self.maxpool_3a = nn.MaxPool2d(3, 2)
            self.conv2d_3b = conv(64, 80, 1)
            self.conv2d_4a = conv(80, 192, 3, valid=True)
            self.maxpool_5a = nn.MaxPool2d(3, 2)
            self.mixed_5b = mixed(192, _MIXED_5B)
            channels = self.mixed_5b.out_channels
        else:
            channels = 64
            for name, table in STEM.items():
                module = mixed(channels, table)
                self.add_module(name.lower(), module)
                channels = module.out_channels
        first, second, third = spec.depths
        scales = spec.residual_scales
        self.repeat = repeat(channels, _BLOCK_35, scales[0], first)
        self.mixed_6a = mixed(channels, reduction_a(spec.reduction_a))
        channels = self.mixed_6a.out_channels
        self.repeat_1 = repeat(channels, _BLOCK_17, scales[1], second)
        if spec.builds_aux_heads:
            self.AuxLogits = AuxHead(channels, spec.num_classes, conv)
        self.mixed_7a = mixed(channels, _REDUCTION_B)
        channels = self.mixed_7a.out_channels
        self.repeat_2 = repeat(channels, _BLOCK_8, scales[2], third - 1)
        self.block8 = ScaledResidual(channels, _BLOCK_8, conv, scale=spec.last_scale, activated=spec.last_relu)
        if spec.last_width:
            self.conv2d_7b = conv(channels, spec.last_width, 1)
        self.dropout = nn.Dropout(spec.dropout)
        self.classif = classifier(spec.last_width or channels, spec.num_classes, pooled=spec.global_pool)

    def initialise(self) -> None:
        """Draw as slim does: convolutions and linear layers Glorot-uniform with biases 0, BN 1 and 0. timm leaves
        torch's uniform defaults.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()

    def units(self) -> Iterator[ScaledResidual]:
        """Yield every residual module, in order."""
        yield from (*self.repeat, *self.repeat_1, *self.repeat_2, self.block8)

    def parts(self) -> list[Part]:
        """Yield slim's end points `Conv2d_1a_3x3`, …, `Mixed_5b`, `Mixed_6a`, `PreAuxLogits`, `Mixed_7a`,
        `Conv2d_7b_1x1`; between them, where slim has none, its scopes `Repeat`, `Repeat_2` and `Block8`.
        """
        named: list[Part] = [
            ("Conv2d_1a_3x3", self.conv2d_1a),
            ("Conv2d_2a_3x3", self.conv2d_2a),
            ("Conv2d_2b_3x3", self.conv2d_2b),
        ]
        if self.spec.stem == "v3":
            named += [
                ("MaxPool_3a_3x3", self.maxpool_3a),
                ("Conv2d_3b_1x1", self.conv2d_3b),
                ("Conv2d_4a_3x3", self.conv2d_4a),
                ("MaxPool_5a_3x3", self.maxpool_5a),
                ("Mixed_5b", self.mixed_5b),
            ]
        else:
            named += [(name, getattr(self, name.lower())) for name in STEM]
        named += [
            ("Repeat", self.repeat),
            ("Mixed_6a", self.mixed_6a),
            ("PreAuxLogits", self.repeat_1),
            ("Mixed_7a", self.mixed_7a),
            ("Repeat_2", self.repeat_2),
            ("Block8", self.block8),
        ]
        return [*named, ("Conv2d_7b_1x1", self.conv2d_7b)] if self.spec.last_width else named

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, C', h, w): return logits (B, spec.num_classes)."""
        logits: Tensor = self.classif(self.dropout(pool(features, self.spec.global_pool)))
        return logits

    def aux_heads(self) -> dict[str, nn.Module]:
        """Yield `AuxLogits` on PreAuxLogits, or none."""
        return {"PreAuxLogits": self.AuxLogits} if self.spec.builds_aux_heads else {}
