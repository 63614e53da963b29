"""Inception-v3: one module that reads an `InceptionV3Spec`. Attribute names and state-dict keys are torchvision's."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residua.families.network import Classifier, Part
from residua.layers.head import classifier
from residua.layers.inception import AuxHead, Pair, draw_normal
from residua.layers.mixed import Maker, maker
from residua.specs.inception_v3 import InceptionV3Spec


class Step(NamedTuple):
    """A convolution of a branch; the ones that halve the resolution are not padded."""

    width: int
    kernel: int | Pair
    stride: int = 1


# A branch is its convolutions in order; it may end in two side by side.
Branch = list[Step | tuple[Step, Step]]
_ROW, _COLUMN = (1, 7), (7, 1)
_SPLIT = (Step(384, (1, 3)), Step(384, (3, 1)))


def _mixed_5(pool: int) -> dict[str, Branch]:
    """Build figure 5: two 3×3 in the place of a 5×5."""
    return {
        "branch1x1": [Step(64, 1)],
        "branch5x5": [Step(48, 1), Step(64, 5)],
        "branch3x3dbl": [Step(64, 1), Step(96, 3), Step(96, 3)],
        "branch_pool": [Step(pool, 1)],
    }


def _mixed_6(inner: int) -> dict[str, Branch]:
    """Build figure 6: n×n as 1×n and n×1."""
    return {
        "branch1x1": [Step(192, 1)],
        "branch7x7": [Step(inner, 1), Step(inner, _ROW), Step(192, _COLUMN)],
        "branch7x7dbl": [
            Step(inner, 1),
            *(Step(inner, kernel) for kernel in (_COLUMN, _ROW, _COLUMN)),
            Step(192, _ROW),
        ],
        "branch_pool": [Step(192, 1)],
    }


_REDUCE_6A: dict[str, Branch] = {
    "branch3x3": [Step(384, 3, 2)],
    "branch3x3dbl": [Step(64, 1), Step(96, 3), Step(96, 3, 2)],
}
_REDUCE_7A: dict[str, Branch] = {
    "branch3x3": [Step(192, 1), Step(320, 3, 2)],
    "branch7x7x3": [Step(192, 1), Step(192, _ROW), Step(192, _COLUMN), Step(192, 3, 2)],
}
# Figure 7: the branches widen at the coarsest resolution.
_MIXED_7: dict[str, Branch] = {
    "branch1x1": [Step(320, 1)],
    "branch3x3": [Step(384, 1), _SPLIT],
    "branch3x3dbl": [Step(448, 1), Step(384, 3), _SPLIT],
    "branch_pool": [Step(192, 1)],
}


class Network(Classifier):
    """Stem, eleven mixed modules in three resolutions, global average pooling, dropout, classifier `fc`.

    In training, with `aux_heads`, it returns `AuxLogits`: `AuxLogits` reads Mixed_6e.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes); H and W from 75 pixels on.
    """

    spec: InceptionV3Spec

    def __init__(self, spec: InceptionV3Spec) -> None:
        super().__init__(spec)
        conv = maker(eps=spec.bn_eps, momentum=spec.bn_momentum, scale=spec.bn_scale)
        self.Conv2d_1a_3x3 = conv(spec.in_channels, 32, 3, 2, valid=True)
        self.Conv2d_2a_3x3 = conv(32, 32, 3, valid=True)
        self.Conv2d_2b_3x3 = conv(32, 64, 3)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = conv(64, 80, 1)
        self.Conv2d_4a_3x3 = conv(80, 192, 3, valid=True)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        channels = 192
        for name, branches in _modules(spec).items():
            mixed = _MixedBlock(channels, branches, conv, spec.pool_counts_padding)
            self.add_module(name, mixed)
            channels = mixed.out_channels
            if name == "Mixed_6e" and spec.builds_aux_heads:
                self.AuxLogits = AuxHead(channels, spec.num_classes, conv)
        self.avgpool = nn.AdaptiveAvgPool2d(1) if spec.global_pool else nn.Identity()
        self.dropout = nn.Dropout(spec.dropout)
        self.fc = classifier(channels, spec.num_classes, pooled=spec.global_pool)

    def initialise(self) -> None:
        """Draw the weights by `spec.initial`; slim's 0.01 and 0.001 for the auxiliary head's last two layers.

        torchvision means these two as well, but its 0.01 does not reach the convolution, which starts at 0.1.
        """
        draw_normal(self, 0.1 if self.spec.initial == "normal" else None)
        if self.spec.builds_aux_heads:
            nn.init.normal_(self.AuxLogits.conv1.conv.weight, std=0.01)
            nn.init.normal_(self.AuxLogits.fc.weight, std=0.001)

    def parts(self) -> list[Part]:
        """Yield slim's end points: `Conv2d_1a_3x3`, …, `MaxPool_3a_3x3`, …, `Mixed_5b`, …, `Mixed_7c`."""
        stem: list[Part] = [
            ("Conv2d_1a_3x3", self.Conv2d_1a_3x3),
            ("Conv2d_2a_3x3", self.Conv2d_2a_3x3),
            ("Conv2d_2b_3x3", self.Conv2d_2b_3x3),
            ("MaxPool_3a_3x3", self.maxpool1),
            ("Conv2d_3b_1x1", self.Conv2d_3b_1x1),
            ("Conv2d_4a_3x3", self.Conv2d_4a_3x3),
            ("MaxPool_5a_3x3", self.maxpool2),
        ]
        return stem + [(name, getattr(self, name)) for name in _modules(self.spec)]

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, C', h, w): return logits (B, spec.num_classes)."""
        pooled = self.avgpool(features)
        logits: Tensor = self.fc(self.dropout(pooled.flatten(1) if self.spec.global_pool else pooled))
        return logits

    def aux_heads(self) -> dict[str, nn.Module]:
        """Yield `AuxLogits` on Mixed_6e, or none."""
        return {"Mixed_6e": self.AuxLogits} if self.spec.builds_aux_heads else {}


def _modules(spec: InceptionV3Spec) -> dict[str, dict[str, Branch]]:
    fine = {f"Mixed_5{letter}": _mixed_5(pool) for letter, pool in zip("bcd", spec.pool_widths, strict=True)}
    middle = {f"Mixed_6{letter}": _mixed_6(inner) for letter, inner in zip("bcde", spec.factor_widths, strict=True)}
    coarse = {"Mixed_7b": _MIXED_7, "Mixed_7c": _MIXED_7}
    return fine | {"Mixed_6a": _REDUCE_6A} | middle | {"Mixed_7a": _REDUCE_7A} | coarse


class _MixedBlock(nn.Module):
    """Branches side by side. `branch_pool` follows an average pool; a module without one ends in a max-pool, stride 2.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, H, W); with the max-pool (H - 1) // 2 and (W - 1) // 2.
    """

    def __init__(
        self,
        in_channels: int,
        branches: dict[str, Branch],
        conv: Maker,
        pool_counts_padding: bool,
    ) -> None:
        super().__init__()
        self.counts_padding = pool_counts_padding
        self.chains: dict[str, list[list[str]]] = {}
        self.out_channels = 0 if "branch_pool" in branches else in_channels
        for name, branch in branches.items():
            self.chains[name], channels = [], in_channels
            for number, entry in enumerate(branch, 1):
                steps = [entry] if isinstance(entry, Step) else list(entry)
                # One convolution takes the branch's name, several add _1, _2, …, two side by side a and b.
                stem = name if len(branch) == 1 else f"{name}_{number}"
                keys = [stem] if len(steps) == 1 else [f"{stem}a", f"{stem}b"]
                for key, step in zip(keys, steps, strict=True):
                    self.add_module(key, conv(channels, step.width, step.kernel, step.stride, valid=step.stride > 1))
                self.chains[name].append(keys)
                channels = sum(step.width for step in steps)
            self.out_channels += channels

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for name, chain in self.chains.items():
            y = [F.avg_pool2d(x, 3, 1, 1, count_include_pad=self.counts_padding) if name == "branch_pool" else x]
            for keys in chain:
                y = [getattr(self, key)(y[0]) for key in keys]
            outputs += y
        if "branch_pool" not in self.chains:
            outputs.append(F.max_pool2d(x, 3, 2))
        return torch.cat(outputs, 1)
