"""The residual family: one module that reads a `ResNetSpec`. Attribute names and state-dict keys are torchvision's."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from residua.families.network import Classifier, Part
from residua.layers.conv import conv2d, initialise, max_pool2d
from residua.layers.gate import DropoutSum, GatedSum, ScaledSum, SqueezeExcitation
from residua.layers.shortcut import PadShortcut, projection
from residua.layers.unit import UNITS, FullPreUnit, ResidualUnit
from residua.specs.resnet import ResNetSpec

_PRE_ACTIVATED = ("relu_only_pre", "full_pre")


class Network(Classifier):
    """Stem, stages of residual units (`layer1`, `layer2`, …), global average pooling, classifier `fc`.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes); any H, W that leave one pixel at the end.
    """

    spec: ResNetSpec

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__(spec)
        pre = spec.activation in _PRE_ACTIVATED
        stem_active = spec.stem_norm or not pre
        large = spec.stem == "imagenet"
        self.conv1 = conv2d(
            spec.in_channels,
            spec.stem_width,
            7 if large else 3,
            stride=2 if large else 1,
            bias="stem" in spec.bias,
            padding=spec.padding,
        )
        self.bn1 = _norm(spec, spec.stem_width) if stem_active else nn.Identity()
        self.relu = nn.ReLU(inplace=True) if stem_active else nn.Identity()
        self.maxpool = max_pool2d(3, 2, spec.pool_padding) if large else nn.Identity()
        channels = spec.stem_width
        for stage, strides in enumerate(_strides(spec)):
            units = []
            for index, stride in enumerate(strides):
                activated = stem_active and stage == index == 0
                units.append(_unit(spec, channels, spec.widths[stage], stride, activated))
                channels = spec.widths[stage] * spec.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*units))
        if pre:
            self.norm = _norm(spec, channels) if spec.activation == "full_pre" else nn.Identity()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = (
            nn.Conv2d(channels, spec.num_classes, 1) if spec.head == "conv" else nn.Linear(channels, spec.num_classes)
        )

    def initialise(self) -> None:
        """As `residua.layers.conv.initialise`; with `zero_init_last_bn` each unit starts as its shortcut."""
        initialise(self)
        if self.spec.zero_init_last_bn:
            for unit in self.units():
                nn.init.zeros_(getattr(unit, f"bn{unit.depth}").weight)

    def stages(self) -> list[nn.Sequential]:
        """The stages `layer1`, `layer2`, … in order."""
        return [self.get_submodule(f"layer{i}") for i in range(1, len(self.spec.depths) + 1)]  # type: ignore[misc]

    def units(self) -> Iterator[ResidualUnit]:
        """Every residual unit, in order."""
        for stage in self.stages():
            yield from stage  # type: ignore[misc]

    def parts(self) -> list[Part]:
        """`stem`, `layer1.0`, …, and the last activation where units are pre-activated, `features`."""
        named: list[Part] = [("stem", self._stem)]
        for number, stage in enumerate(self.stages(), 1):
            named += [(f"layer{number}.{index}", unit) for index, unit in enumerate(stage)]
        return [*named, ("features", self._last_activation)]

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, C', h, w) features -> (B, spec.num_classes) logits."""
        pooled = self.avgpool(features)
        logits: Tensor = self.fc(pooled if self.spec.head == "conv" else pooled.flatten(1))
        return logits.flatten(1)

    def _stem(self, x: Tensor) -> Tensor:
        out: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return out

    def _last_activation(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(x)) if self.spec.activation in _PRE_ACTIVATED else x


def _norm(spec: ResNetSpec, channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=spec.bn_eps, momentum=spec.bn_momentum)


def _strides(spec: ResNetSpec) -> list[list[int]]:
    """The stride of each unit, by stage. The stem's resolution is the first stage's."""
    strides = [[1] * depth for depth in spec.depths]
    for stage in range(1, len(strides)):
        if spec.stride_site == "last_3x3":
            strides[stage - 1][-1] = 2
        else:
            strides[stage][0] = 2
    return strides


def _unit(spec: ResNetSpec, channels: int, width: int, stride: int, activated: bool) -> ResidualUnit:
    """Build one unit; `activated` says that its input comes through a ReLU of the stem."""
    out = width * spec.expansion
    bias = "inner" in spec.bias
    if spec.unit == "basic":
        shapes = [(channels, width, 3, stride, 1), (width, out, 3, 1, 1)]
    else:
        inner = width * spec.base_width // 64 * spec.cardinality
        first, middle = (stride, 1) if spec.stride_site == "first_1x1" else (1, stride)
        shapes = [
            (channels, inner, 1, first, 1),
            (inner, inner, 3, middle, spec.cardinality),
            (inner, out, 1, 1, 1),
        ]
    convs = [conv2d(a, b, k, stride=s, groups=g, bias=bias, padding=spec.padding) for a, b, k, s, g in shapes[:-1]]
    a, b, k, s, g = shapes[-1]
    convs.append(conv2d(a, b, k, stride=s, groups=g, bias="last" in spec.bias, padding=spec.padding))
    full_pre = spec.activation == "full_pre"
    norms: list[nn.Module] = [_norm(spec, conv.in_channels if full_pre else conv.out_channels) for conv in convs]
    if full_pre and activated:
        norms[0] = nn.Identity()
    unit = UNITS[spec.activation](
        convs,
        norms,
        _shortcut(spec, channels, out, stride),
        plain=spec.shortcut == "none",
        join=_join(spec, channels, out, stride),
        se=SqueezeExcitation(out, spec.se_ratio) if spec.se_ratio else None,
        dropout=spec.dropout,
    )
    if isinstance(unit, FullPreUnit):
        unit.raw_projection = spec.projection_input == "raw"
    return unit


def _shortcut(spec: ResNetSpec, channels: int, out: int, stride: int) -> nn.Module | None:
    kind = spec.shortcut
    same_shape = channels == out and stride == 1
    if kind == "none" or (same_shape and kind != "projection_all"):
        return None
    if kind in ("pad", "pad_both"):
        if out < channels:
            return PadShortcut(channels, channels, stride, both_sides=False)
        return PadShortcut(channels, out, stride, both_sides=kind == "pad_both")
    if kind == "max_pool" and channels == out:
        return nn.MaxPool2d(1, stride)
    normed = spec.projection_norm if spec.projection_norm is not None else spec.activation != "full_pre"
    norm = _norm(spec, out) if normed else None
    return projection(channels, out, stride, bias="projection" in spec.bias, norm=norm)


def _join(spec: ResNetSpec, channels: int, out: int, stride: int) -> nn.Module | None:
    match spec.gate:
        case "constant":
            return ScaledSum(spec.shortcut_scale, spec.branch_scale)
        case "exclusive" | "shortcut_only":
            return GatedSum(channels, out, stride, spec.gate_bias, gate_branch=spec.gate == "exclusive")
        case "dropout":
            return DropoutSum(spec.shortcut_dropout)
    return None
