"""The GoogLeNet family: one module that reads a `GoogLeNetSpec`. State-dict keys are torchvision's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residua.families.network import Classifier, Part
from residua.layers.head import classifier
from residua.layers.inception import ConvNormAct, draw_normal, fan_in, window_pool
from residua.layers.norm import LocalResponseNorm
from residua.specs.googlenet import MODULES, Branches, GoogLeNetSpec

# In the network's order; Caffe's name of each end point. LRN stands where `lrn` asks for it.
_STEM = {
    "conv1": "conv1/7x7_s2",
    "maxpool1": "pool1/3x3_s2",
    "norm1": "pool1/norm1",
    "conv2": "conv2/3x3_reduce",
    "conv3": "conv2/3x3",
    "norm2": "conv2/norm2",
    "maxpool2": "pool2/3x3_s2",
}
_POOL_BEHIND = {"3b": "maxpool3", "4e": "maxpool4"}
_AUX_BEHIND = {"4a": "aux1", "4d": "aux2"}
_AUX_SIDE, _AUX_CHANNELS, _AUX_HIDDEN = 4, 128, 1024  # section 5: a 4×4 map, 1×1 to 128, 1024 units
_XAVIER_BIAS = 0.2  # Caffe's bias_filler in bvlc_googlenet's train_val.prototxt


class Network(Classifier):
    """Stem, nine inception modules in three resolutions, global average pooling, dropout, classifier `fc`.

    In training, with `aux_heads`, it returns `AuxLogits`: `aux1` reads module 4a (Caffe's loss1), `aux2` 4d (loss2).

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes). H and W from 31 pixels on, from 15 with
    `last_pool=2`.
    """

    spec: GoogLeNetSpec

    def __init__(self, spec: GoogLeNetSpec) -> None:
        super().__init__(spec)
        self.conv1 = _conv(spec, spec.in_channels, 64, 7, stride=2)
        self.maxpool1 = _max_pool(3)
        if spec.lrn:
            self.norm1 = _lrn()
        self.conv2 = _conv(spec, 64, 64, 1)
        self.conv3 = _conv(spec, 64, 192, 3)
        if spec.lrn:
            self.norm2 = _lrn()
        self.maxpool2 = _max_pool(3)
        channels, heads = 192, {}
        for name, widths in zip(MODULES, spec.widths, strict=True):
            self.add_module(f"inception{name}", _Inception(spec, channels, widths))
            channels = widths[0] + widths[2] + widths[4] + widths[5]
            if name in _POOL_BEHIND:
                self.add_module(_POOL_BEHIND[name], _max_pool(spec.last_pool if name == "4e" else 3))
            if name in _AUX_BEHIND and spec.builds_aux_heads:
                heads[_AUX_BEHIND[name]] = _AuxHead(spec, channels)
        for attribute, head in heads.items():
            self.add_module(attribute, head)
        self.avgpool = nn.AdaptiveAvgPool2d(1) if spec.global_pool else nn.Identity()
        self.dropout = nn.Dropout(spec.dropout)
        self.fc = classifier(channels, spec.num_classes, pooled=spec.global_pool)

    def initialise(self) -> None:
        """Draw the weights by `spec.initial`."""
        if self.spec.initial == "normal":
            return draw_normal(self, 0.01)
        classifiers = [self.fc, *(head.fc2 for head in self.aux_heads().values())]
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                bound = (3 / fan_in(layer)) ** 0.5
                nn.init.uniform_(layer.weight, -bound, bound)
                if layer.bias is not None:
                    nn.init.constant_(layer.bias, 0.0 if layer in classifiers else _XAVIER_BIAS)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()
        return None

    def parts(self) -> list[Part]:
        """Yield every layer of the stem, every module and every pool, under the names of `spec.end_points`."""
        named: list[Part] = [(self._point(key, _STEM[key]), getattr(self, key)) for key in _STEM if hasattr(self, key)]
        for name in MODULES:
            named.append((self._module_point(name), getattr(self, f"inception{name}")))
            if name in _POOL_BEHIND:
                pool = _POOL_BEHIND[name]
                side = getattr(self, pool).kernel_size
                named.append((self._point(pool, f"pool{pool[-1]}/{side}x{side}_s2"), getattr(self, pool)))
        return named

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, C', h, w): return logits (B, spec.num_classes)."""
        return self._classify(self.avgpool(features))

    def head_parts(self) -> list[Part]:
        """Yield the average over the map, where there is one, then "logits" (Caffe's loss3/classifier)."""
        average = [(self._point("avgpool", "pool5/7x7_s1"), self.avgpool)] if self.spec.global_pool else []
        return [*average, (self.answer, self._classify)]

    def aux_heads(self) -> dict[str, nn.Module]:
        """Yield `aux1` on the output of module 4a and `aux2` on 4d's, or none."""
        if not self.spec.builds_aux_heads:
            return {}
        return {self._module_point(name): getattr(self, head) for name, head in _AUX_BEHIND.items()}

    def _classify(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.dropout(pooled.flatten(1) if self.spec.global_pool else pooled))
        return logits

    def _point(self, attribute: str, caffe: str) -> str:
        return caffe if self.spec.end_points == "caffe" else attribute

    def _module_point(self, name: str) -> str:
        return self._point(f"inception{name}", f"inception_{name}/output")


class _Inception(nn.Module):
    """Four branches side by side (figure 2b): 1×1; 1×1, 3×3; 1×1, 5×5; max-pool, 1×1.

    Shapes: (B, in_channels, H, W) -> (B, sum of the branches' widths, H, W).
    """

    def __init__(self, spec: GoogLeNetSpec, in_channels: int, widths: Branches) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, projected = widths
        self.branch1 = _conv(spec, in_channels, one, 1)
        self.branch2 = nn.Sequential(_conv(spec, in_channels, reduce3, 1), _conv(spec, reduce3, three, 3))
        third = _conv(spec, reduce5, five, spec.branch3_kernel)
        self.branch3 = nn.Sequential(_conv(spec, in_channels, reduce5, 1), third)
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), _conv(spec, in_channels, projected, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class _AuxHead(nn.Module):
    """An auxiliary classifier (section 5): average pooling, 1×1 convolution, 1024 units, dropout, classifier.

    Shapes: (B, in_channels, H, W) -> (B, spec.num_classes).
    """

    def __init__(self, spec: GoogLeNetSpec, in_channels: int) -> None:
        super().__init__()
        self.windows = spec.aux_pool == "window"
        self.conv = _conv(spec, in_channels, _AUX_CHANNELS, 1)
        self.fc1 = nn.Linear(_AUX_CHANNELS * _AUX_SIDE**2, _AUX_HIDDEN)
        self.fc2 = nn.Linear(_AUX_HIDDEN, spec.num_classes)
        self.dropout = nn.Dropout(spec.aux_dropout)

    def forward(self, x: Tensor) -> Tensor:
        if self.windows:
            x = window_pool(x, _AUX_SIDE)
        # The identity behind the windows at the published size, where they leave 4×4.
        x = self.conv(F.adaptive_avg_pool2d(x, _AUX_SIDE))
        logits: Tensor = self.fc2(self.dropout(F.relu(self.fc1(x.flatten(1)), inplace=True)))
        return logits


def _conv(spec: GoogLeNetSpec, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> ConvNormAct:
    return ConvNormAct(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        norm=spec.batch_norm,
        eps=spec.bn_eps,
        momentum=spec.bn_momentum,
    )


def _max_pool(side: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(side, 2, ceil_mode=True)


def _lrn() -> LocalResponseNorm:
    # Caffe's alpha of 1e-4 is divided by the number of maps; the layer's is not.
    return LocalResponseNorm(5, alpha=1e-4 / 5, beta=0.75, k=1.0)
