"""The residual family: one module that reads a `ResNetSpec`. Attribute names and state-dict keys are torchvision's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from residua.families.end_points import PRE_ACTIVATED, slim_scope, vocabulary
from residua.families.network import Classifier, Part
from residua.layers.conv import conv2d, initialise, max_pool2d
from residua.layers.gate import DropoutSum, GatedSum, IndependentSum, ScaledSum, SqueezeExcitation
from residua.layers.head import classifier
from residua.layers.shared import SharedLayer, owner
from residua.layers.shortcut import PadShortcut, projection
from residua.layers.stochastic_depth import StochasticDepth
from residua.layers.unit import UNITS, ResidualUnit
from residua.specs.resnet import ResNetSpec

_Layer = TypeVar("_Layer", nn.Module, nn.Module | None)


class Network(Classifier):
    """Stem, stages of residual units (`layer1`, `layer2`, …), global average pooling, classifier `fc`.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes); any H, W that leave one pixel at the end.
    """

    spec: ResNetSpec

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__(spec)
        # Measured: wide 3×3 layers without groups are faster with the channels outermost, those of units forward too.
        self.infers_channels_last = spec.cardinality > 1 or spec.base_width <= 64
        self.trains_channels_last = self.infers_channels_last and spec.projection_kernel == 1
        pre = spec.activation in PRE_ACTIVATED
        stem_active = spec.stem != "none" and (spec.stem_norm or not pre)
        self.conv1 = _stem(spec)
        self.bn1 = _norm(spec, spec.stem_width) if stem_active and spec.stem != "plain" else nn.Identity()
        self.relu = nn.ReLU(inplace=True) if stem_active else nn.Identity()
        self.maxpool = nn.Identity() if spec.stem in ("cifar", "none") else max_pool2d(3, 2, spec.pool_padding)
        channels, count = spec.entry_width, 0
        for stage, steps in enumerate(_steps(spec)):
            units: list[ResidualUnit] = []
            for index, step in enumerate(steps):
                activated = stem_active and stage == index == 0
                # The first unit may change the shape: what a stage shares begins with its second.
                owning = units[1] if spec.sharing != "none" and index >= 2 else None
                out, inner = spec.unit_widths(stage, index)
                count += 1
                drop = spec.stochastic_depth * count / sum(spec.depths)
                units.append(_unit(spec, (channels, inner, out), step, activated, owning, drop))
                channels = out
            self.add_module(f"layer{stage + 1}", nn.Sequential(*units))
        if pre:
            normed = spec.activation == "full_pre" and spec.final_norm
            self.norm = _norm(spec, channels) if normed else nn.Identity()
        self.avgpool = nn.AdaptiveAvgPool2d(1) if spec.global_pool else nn.Identity()
        self.dropout = nn.Dropout(spec.head_dropout) if spec.head_dropout else nn.Identity()
        self.fc = classifier(channels, spec.num_classes, pooled=spec.global_pool, conv=spec.head == "conv")

    def initialise(self) -> None:
        """Draw the weights by `spec.init`; with `zero_init_last_bn` each unit starts as its shortcut."""
        initialise(self, self.spec.init)
        if self.spec.zero_init_last_bn:
            for unit in self.units():
                nn.init.zeros_(owner(getattr(unit, f"bn{unit.depth}")).weight)  # type: ignore[arg-type]

    def stages(self) -> list[nn.Sequential]:
        """Yield the stages `layer1`, `layer2`, … in order."""
        return [self.get_submodule(f"layer{i}") for i in range(1, len(self.spec.depths) + 1)]  # type: ignore[misc]

    def units(self) -> Iterator[ResidualUnit]:
        """Yield every residual unit, in order."""
        for stage in self.stages():
            yield from stage  # type: ignore[misc]

    def parts(self) -> list[Part]:
        """Yield stem, units, and the last activation where units are pre-activated, in the vocabulary of
        `spec.end_points`.

        torchvision's `stem`, `layer1.0`, …, `features`; TF-slim's `resnet_v2_50/conv1`, `…/pool1`,
        `…/block1/unit_1/bottleneck_v2`, …, `…/postnorm`; Keras's `pool1_pool`, `conv2_block1_out`, …, `post_relu`.
        """
        names, pre = vocabulary(self.spec), self.spec.activation in PRE_ACTIVATED
        stem: tuple[Callable[[Tensor], Tensor], ...] = (
            (self._stem,) if len(names.stem) == 1 else (self._activated_stem, self.maxpool)
        )
        # Without a stem the first unit reads the image.
        parts: list[Part] = [] if self.spec.stem == "none" else [*zip(names.stem, stem, strict=True)]
        for stage, units in enumerate(self.stages()):
            parts += [(names.of_unit(stage, index), unit) for index, unit in enumerate(units)]
        return [*parts, (names.last, self._last_activation)] if pre or names.always_last else parts

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, C', h, w): return logits (B, spec.num_classes)."""
        return self._without_positions(self._classify(self.avgpool(features)))

    def head_parts(self) -> list[Part]:
        """Yield `logits`; with TF-slim's names `global_pool`, `resnet_v2_50/logits`, `…/spatial_squeeze` before it.

        Without a classifier `pooled`, behind slim's `global_pool`; without pooling `resnet_v2_50/logits` alone.
        """
        if self.spec.end_points != "slim":
            return super().head_parts()
        parts: list[Part] = [("global_pool", self.avgpool)] if self.spec.global_pool else []
        if not self.spec.num_classes:
            return [*parts, (self.answer, self._without_positions)]
        scope = slim_scope(self.spec)
        parts.append((f"{scope}/logits", lambda pooled: self._with_positions(self._classify(pooled))))
        if self.spec.global_pool:
            parts.append((f"{scope}/spatial_squeeze", self._without_positions))
        return [*parts, (self.answer, lambda logits: logits)]

    def forward_intermediates(self, x: Tensor) -> dict[str, Tensor]:
        """Return what flows between the parts, by their names, and "logits" at the end.

        With TF-slim's names, all of slim's end points follow in its order. Besides the parts they are each unit's
        `shortcut` (where it is a projection), `conv1`, `conv2`, `conv3`, the blocks, and `predictions` (the
        probabilities). `pool1`, `postnorm` and "logits", which slim does not list, stand where they belong.
        """
        if self.spec.end_points != "slim":
            return super().forward_intermediates(x)
        points: dict[str, Tensor] = {}
        x, scope = self.lay_out(x), slim_scope(self.spec)
        blocks = {stage[-1]: f"{scope}/block{number}" for number, stage in enumerate(self.stages(), 1)}
        for name, part in [*self.parts(), *self.head_parts()]:
            if isinstance(part, ResidualUnit):
                x, inside = part.forward_inside(x.clone())
                points |= {f"{name}/{key}": point for key, point in inside.items()}
            else:
                x = part(x.clone())
            points[name] = x
            if isinstance(part, ResidualUnit) and part in blocks:
                points[blocks[part]] = x
        if self.spec.num_classes:
            points["predictions"] = points["logits"].softmax(1)
        return points

    def _classify(self, pooled: Tensor) -> Tensor:
        pooled = self.dropout(pooled)
        logits: Tensor = self.fc(pooled if self.spec.head == "conv" else self._without_positions(pooled))
        return logits

    def _without_positions(self, pooled: Tensor) -> Tensor:
        return pooled.flatten(1) if self.spec.global_pool else pooled

    def _with_positions(self, logits: Tensor) -> Tensor:
        return logits.flatten(1)[:, :, None, None] if self.spec.global_pool else logits

    def _activated_stem(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        return out

    def _stem(self, x: Tensor) -> Tensor:
        out: Tensor = self.maxpool(self._activated_stem(x))
        return out

    def _last_activation(self, x: Tensor) -> Tensor:
        if self.spec.activation not in PRE_ACTIVATED or not self.spec.final_norm:
            return x
        return F.relu(self.norm(x))


def _stem(spec: ResNetSpec) -> nn.Module:
    """Build the convolutions of the stem; the norm and the activation of the last are the network's `bn1` and
    `relu`."""
    if spec.stem == "none":
        return nn.Identity()
    stride = 1 if spec.stem == "cifar" else 2
    bias, padding = "stem" in spec.bias, spec.padding
    if spec.stem != "deep":
        side = 3 if spec.stem == "cifar" else 7
        return conv2d(spec.in_channels, spec.stem_width, side, stride=stride, bias=bias, padding=padding)
    half, layers = spec.stem_width // 2, []
    for channels, step in ((spec.in_channels, stride), (half, 1)):
        conv = conv2d(channels, half, 3, stride=step, bias=bias, padding=padding)
        layers += [conv, _norm(spec, half), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, conv2d(half, spec.stem_width, 3, bias=bias, padding=padding))


def _norm(spec: ResNetSpec, channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=spec.bn_eps, momentum=spec.bn_momentum)


class _Step(NamedTuple):
    """How a unit moves through the resolutions.

    Attributes:
        own: the stride that the network's plan gives the unit; a projection is where it is above 1.
        stride: the stride that the unit takes: 1 where `output_stride` is reached.
        before: dilation up to the place of the stride, that place included.
        after: dilation behind it.
    """

    own: int
    stride: int
    before: int
    after: int


def _steps(spec: ResNetSpec) -> list[list[_Step]]:
    """Return the step of each unit, by stage. The stem's resolution is the first stage's."""
    reached, dilation = spec.stem_stride, 1
    target = spec.output_stride or spec.own_stride
    steps: list[list[_Step]] = []
    for stage_strides in spec.strides:
        steps.append([])
        for own in stage_strides:
            if reached < target:
                reached *= own
                steps[-1].append(_Step(own, own, 1, 1))
            else:
                steps[-1].append(_Step(own, 1, dilation, dilation * own))
                dilation *= own
    return steps


def _unit(
    spec: ResNetSpec,
    channels: tuple[int, int, int],
    step: _Step,
    activated: bool,
    owning: ResidualUnit | None,
    drop: float,
) -> ResidualUnit:
    """Build one unit.

    Args:
        spec: the network.
        channels: of the unit's input, of its 3×3 or a basic unit's first convolution, of its output.
        step: how the unit moves through the resolutions.
        activated: whether the input comes through a ReLU of the stem.
        owning: the unit of the same shape whose layers are shared by `spec.sharing`; None: nothing is.
        drop: probability of dropping the branch in training.
    """
    entering, inner, out = channels
    whole = owning if spec.sharing == "units" else None
    biases = ["inner" in spec.bias] * (1 if spec.unit == "basic" else 2) + ["last" in spec.bias]
    # Input, output, side, stride, dilation, groups of each convolution.
    if spec.unit == "basic":
        shapes = [(entering, inner, 3, step.stride, step.before, 1), (inner, out, 3, 1, step.after, 1)]
    else:
        first = inner // spec.reduce_first
        in_1x1 = spec.stride_site == "first_1x1"
        shapes = [
            (entering, first, 1, step.stride if in_1x1 else 1, 1, 1),
            (first, inner, 3, 1 if in_1x1 else step.stride, step.after if in_1x1 else step.before, spec.cardinality),
            (inner, out, 1, 1, 1, 1),
        ]
    convs: list[nn.Module] = [
        conv2d(a, b, k, stride=s, dilation=d, groups=g, bias=bias, padding=spec.padding)
        for (a, b, k, s, d, g), bias in zip(shapes, biases, strict=True)
    ]
    full_pre = spec.activation == "full_pre"
    norms: list[nn.Module] = [_norm(spec, shape[0] if full_pre else shape[1]) for shape in shapes]
    if full_pre and activated:
        norms[0] = nn.Identity()
    places = range(1, len(shapes) + 1)
    return UNITS[spec.activation](
        [_shared(owning, f"conv{index}", conv) for index, conv in zip(places, convs, strict=True)],
        [_shared(whole, f"bn{index}", norm) for index, norm in zip(places, norms, strict=True)],
        _shared(whole, "downsample", _shortcut(spec, entering, out, step)),
        plain=spec.shortcut == "none",
        join=_shared(whole, "join", _join(spec, entering, out, step.stride)),
        se=_shared(whole, "se", SqueezeExcitation(out, spec.se_ratio) if spec.se_ratio else None),
        dropout=spec.dropout,
        stochastic_depth=StochasticDepth(drop, spec.stochastic_depth_mode) if drop else None,
        raw_projection=full_pre and spec.projection_input == "raw",
    )


def _shared(owning: ResidualUnit | None, name: str, own: _Layer) -> _Layer | SharedLayer:
    """Return `own`, or the layer of that name in the unit that it is shared with."""
    return own if owning is None or own is None else SharedLayer(getattr(owning, name))


def _shortcut(spec: ResNetSpec, channels: int, out: int, step: _Step) -> nn.Module | None:
    kind = spec.shortcut
    same_shape = channels == out and step.own == 1
    if kind == "none" or (same_shape and kind != "projection_all"):
        return None
    if kind in ("pad", "pad_both"):
        return PadShortcut(channels, out, step.stride, both_sides=kind == "pad_both")
    if kind == "max_pool" and channels == out:
        return nn.MaxPool2d(1, step.stride) if step.stride > 1 else None
    normed = spec.projection_norm if spec.projection_norm is not None else spec.activation != "full_pre"
    side = spec.projection_kernel if step.own > 1 else 1
    bias = "projection" in spec.bias
    conv = conv2d(channels, out, side, stride=step.stride, dilation=step.before, bias=bias, padding=spec.padding)
    return projection(conv, _norm(spec, out) if normed else None)


def _join(spec: ResNetSpec, channels: int, out: int, stride: int) -> nn.Module | None:
    match spec.gate:
        case "constant":
            return ScaledSum(spec.shortcut_scale, spec.branch_scale)
        case "exclusive" | "shortcut_only":
            return GatedSum(channels, out, stride, spec.gate_bias, gate_branch=spec.gate == "exclusive")
        case "independent":
            carry_bias = -spec.gate_bias if spec.carry_bias is None else spec.carry_bias
            return IndependentSum(channels, out, stride, spec.gate_bias, carry_bias)
        case "dropout":
            return DropoutSum(spec.shortcut_dropout)
    return None
