"""A residual network as a value: the dataclass whose rows are `residua.specs.resnet`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from residua._base.words import quoted, some
from residua.specs.fields import (
    Channels,
    ChannelsOfStages,
    Classes,
    Divisor,
    Dropout,
    Epsilon,
    Factor,
    InChannels,
    InputSize,
    Momentum,
    Name,
    Paper,
    Role,
    Span,
    StartBias,
    UnitsOfStages,
)
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec

Unit = Literal["basic", "bottleneck"]
Activation = Literal["post", "bn_after_add", "relu_before_add", "relu_only_pre", "full_pre"]
Stem = Literal["imagenet", "deep", "cifar", "plain"]
StrideSite = Literal["first_1x1", "first_3x3", "last_3x3"]
Shortcut = Literal["none", "pad", "pad_both", "projection", "projection_all", "max_pool"]
Gate = Literal["none", "constant", "exclusive", "shortcut_only", "dropout"]
Padding = Literal["symmetric", "same"]
PoolPadding = Literal["symmetric", "zero", "same", "ceil"]
Sharing = Literal["none", "kernels", "units"]
BiasSite = Literal["stem", "inner", "last", "projection"]
EndPoints = Literal["torchvision", "slim", "keras"]
Init = Literal["he_fan_out", "he_truncated", "glorot_uniform", "torch"]


@with_ranges
@dataclass(frozen=True)
class ResNetSpec(Spec):
    """Everything that makes one residual network; `residua.families.resnet.Network` reads it.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        depths: units in each stage.
        widths: channels of each stage before `expansion`.
        unit: "basic" (3×3, 3×3) or "bottleneck" (1×1, 3×3, 1×1).
        expansion: output channels of a unit over the stage's width; 4 for a bottleneck (He 2015, section 4.1).
        activation: order of BN, ReLU and addition, the five of He 2016, figure 4: "post" (a, original),
            "bn_after_add" (b), "relu_before_add" (c), "relu_only_pre" (d), "full_pre" (e).
        stem: "imagenet" (7×7 stride 2, then 3×3 max-pool stride 2); "deep", with three 3×3 for the 7×7, the first two
            half as wide (SENet-154); "cifar" (3×3); or "plain", as "imagenet" without BN between 7×7 and ReLU.
        stem_width: channels that leave the stem.
        stem_norm: with a pre-activated order, the first unit's activation stands in the stem, before the pool and
            before the paths split (He 2016, section 4; fb.resnet.torch). False: inside the first unit, behind the
            pool, where an identity shortcut does not see it (timm). The other orders always have it in the stem.
        pool_padding: how the stem's pool pads: "symmetric", −inf on both sides (torch); "zero" (Keras); "same", −inf as
            TensorFlow's SAME; "ceil", not at all, windows over the edge being cut (Caffe). Zeros differ on un-activated
            values; the last two agree at even sizes, and shift the grid of the others.
        stride_site: where a stage halves the resolution: "first_1x1", the first unit's first convolution (He 2015,
            Caffe, Keras); "first_3x3", its 3×3 (torchvision's v1.5); "last_3x3", that of the last unit of the stage
            before (TF-slim). The first and the last compute one function at different cost.
        shortcut: how a unit's input reaches the addition. "none" (plain net); "pad": strided identity, new channels
            zero and appended (option A); "pad_both": zeros on both sides of the channels; "projection": 1×1
            convolution where the shape changes (option B); "projection_all": everywhere (option C); "max_pool":
            1×1 max-pool where only the resolution changes, projection where the channels do (TF-slim).
        projection_kernel: side of a projection's kernel where the resolution changes: 1, or 3 (SENet-154).
        projection_norm: BN behind a projection; None: yes, unless "full_pre".
        projection_input: with "full_pre", a projection reads the "preactivated" input (He 2016) or the "raw" one.
        gate: what multiplies shortcut and branch (He 2016, table 1): "none"; "constant" (`shortcut_scale`,
            `branch_scale`); "exclusive" (1 − g and g); "shortcut_only" (1 − g and 1); "dropout" of the shortcut.
        shortcut_scale: factor of the shortcut with gate "constant".
        branch_scale: factor of the branch with gate "constant".
        gate_bias: initial bias of g = sigmoid(1×1 convolution).
        shortcut_dropout: drop probability of the shortcut with gate "dropout".
        cardinality: groups of the 3×3 in a bottleneck (ResNeXt).
        base_width: channels a group has per 64 of the stage's width (wide: 128, ResNeXt-50 32×4d: 4).
        inner_widths: channels of a bottleneck's 3×3 in each stage; (): derived from the two above.
        reduce_first: a bottleneck's first 1×1 has this many times fewer channels than its 3×3 (SENet-154: 2).
        se_ratio: squeeze-and-excitation's reduction, 0 for none (Hu 2018: 16).
        sharing: what the units of a stage, from its second on, have in common, as a recurrent unit that is unrolled
            (Liao 2016, arXiv 1604.03640): "none"; "kernels", the convolutions of the branch, while normalisation, gates
            and squeeze-and-excitation are each step's own; "units", everything.
        dropout: drop probability inside the unit, before its last convolution (Zagoruyko 2016).
        final_norm: with "full_pre", BN and ReLU before the pooling; False: the sum is pooled as it is, as widely copied
            code for CIFAR does.
        bias: sites of convolutions with a bias: "stem", "inner", "last" (of a unit), "projection".
        padding: "symmetric", or TensorFlow's "same", which puts the odd pixel after.
        bn_eps: epsilon of batch normalisation.
        bn_momentum: weight of the new batch in the running statistics (torch's convention).
        zero_init_last_bn: start each unit as its shortcut (Goyal 2017, section 5.1); with "post" and "relu_only_pre",
            whose branches end in a BN.
        init: how convolutions start, biases at 0: "he_fan_out", normal, variance 2 / fan-out (He 2015b; torchvision);
            "he_truncated", normal cut at two deviations, variance 2 / fan-in (Keras's he_normal, TF-slim's variance
            scaling); "glorot_uniform" (Keras's default). These two hold for the classifier too. "torch": the layers'
            own defaults, biases included.
        output_stride: pixels of the image per pixel of the features; 0: the network's own, 32 (4 for CIFAR). Where it
            is reached, later strides become dilations of the 3×3 convolutions behind them (TF-slim). The weights stay,
            and every (own / output_stride)-th pixel keeps its value, unless squeeze-and-excitation averages over all.
        head_dropout: drop probability before the classifier (SENet-154: 0.2).
        head: "linear" after global average pooling, or the same as a 1×1 convolution, "conv".
        end_points: whose names the end points have: "torchvision" (`layer1.0`), "slim"
            (`resnet_v2_50/block1/unit_1/bottleneck_v2`) or "keras" (`conv2_block1_out`).
        num_classes: outputs.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "resnet"

    name: Name
    paper: Paper
    depths: UnitsOfStages
    widths: ChannelsOfStages
    unit: Unit
    expansion: Annotated[int, Span(1, 1024)] = 1
    activation: Activation = "post"
    stem: Stem = "imagenet"
    stem_width: Channels = 64
    stem_norm: bool = False
    pool_padding: PoolPadding = "symmetric"
    stride_site: StrideSite = "first_3x3"
    shortcut: Shortcut = "projection"
    projection_kernel: int = 1
    projection_norm: bool | None = None
    projection_input: Literal["preactivated", "raw"] = "preactivated"
    gate: Gate = "none"
    shortcut_scale: Factor = 1.0
    branch_scale: Factor = 1.0
    gate_bias: StartBias = -6.0
    shortcut_dropout: Dropout = 0.5
    cardinality: Divisor = 1
    base_width: Channels = 64
    inner_widths: tuple[Channels, ...] = ()
    reduce_first: Divisor = 1
    se_ratio: Annotated[int, Span(0, 2**24, hint="Use 0 for none")] = 0
    sharing: Sharing = "none"
    dropout: Dropout = 0.0
    final_norm: bool = True
    bias: tuple[BiasSite, ...] = ()
    padding: Padding = "symmetric"
    bn_eps: Epsilon = 1e-5
    bn_momentum: Momentum = 0.1
    zero_init_last_bn: Annotated[bool, Role("start")] = False
    init: Annotated[Init, Role("start")] = "he_fan_out"
    output_stride: Annotated[int, Role("density")] = 0
    head_dropout: Dropout = 0.0
    head: Annotated[Literal["linear", "conv"], Role("layout")] = "linear"
    end_points: Annotated[EndPoints, Role("names")] = "torchvision"
    num_classes: Classes = 1000
    in_channels: InChannels = 3
    input_size: InputSize = 224

    @property
    def depth(self) -> int:
        """Layers with weights on the main path, as the papers count them."""
        return sum(self.depths) * (2 if self.unit == "basic" else 3) + (4 if self.stem == "deep" else 2)

    @property
    def stem_stride(self) -> int:
        """Pixels of the image per pixel of the first stage."""
        return 1 if self.stem == "cifar" else 4

    @property
    def own_stride(self) -> int:
        """Pixels of the image per pixel of the features, without dilation: each stage but the first halves."""
        return int(self.stem_stride * 2 ** (len(self.depths) - 1))

    def inner_width(self, stage: int) -> int:
        """Return the channels of a bottleneck's 3×3 in a stage, counted from 0."""
        if self.inner_widths:
            return self.inner_widths[stage]
        return self.widths[stage] * self.base_width // 64 * self.cardinality

    def check(self) -> None:
        self._check_widths()
        self._check_unit()
        self._check_shortcut()
        self._check_stride()
        if self.end_points == "slim" and (self.unit != "bottleneck" or self.activation not in ("post", "full_pre")):
            self.refuse(
                f"end_points='slim' with unit={self.unit!r} and activation={self.activation!r}",
                "a network that TF-slim names: bottlenecks, activation 'post' or 'full_pre'",
                "Use end_points='torchvision'",
            )

    def _check_widths(self) -> None:
        if len(self.depths) != len(self.widths):
            self.refuse(
                f"depths={self.depths} and widths={self.widths}",
                "one width for each stage",
                "Give both lists the same length",
            )
        if self.stem == "plain" and self.activation in ("relu_only_pre", "full_pre"):
            self.refuse(
                f"stem='plain' with activation={self.activation!r}",
                "an order that activates in the stem; a pre-activated stem has no BN anyway",
                "Use stem='imagenet' with stem_norm=False",
            )
        if self.stem == "deep" and self.stem_width % 2:
            self.refuse(f"stem_width={self.stem_width} with stem='deep'", "an even number", "Customary is 128")
        for index, inner in enumerate(self.inner_widths):
            if inner % self.cardinality:
                self.refuse(
                    f"inner_widths[{index}]={inner}",
                    f"multiples of cardinality={self.cardinality}",
                    f"The nearest is {max(1, round(inner / self.cardinality)) * self.cardinality}",
                )
        if self.inner_widths and len(self.inner_widths) != len(self.depths):
            self.refuse(
                f"inner_widths={self.inner_widths} for depths={self.depths}",
                "one inner width for each stage, or none",
                "Give both lists the same length",
            )

    def _check_unit(self) -> None:
        if self.unit == "basic":
            # A basic unit has one width and whole convolutions.
            only = {"cardinality": 1, "base_width": 64, "inner_widths": (), "reduce_first": 1}
            if odd := [f"{key}={getattr(self, key)}" for key, own in only.items() if getattr(self, key) != own]:
                self.refuse(
                    f"{', '.join(odd)} with basic units",
                    "a bottleneck, which alone has an inner width and a grouped 3×3",
                    "Use unit='bottleneck', or widen with widths=",
                )
            return
        inner = [self.inner_width(stage) for stage in range(len(self.depths))]
        if min(inner) < 1:
            self.refuse(
                f"base_width={self.base_width} with widths={self.widths}",
                "at least one inner channel for each group",
                "Use wider stages, or base_width=64",
            )
        if any(width % self.reduce_first for width in inner):
            self.refuse(f"reduce_first={self.reduce_first}", f"a divisor of the inner widths {inner}", "Customary is 1")

    def _check_shortcut(self) -> None:
        channels = (self.stem_width, *(width * self.expansion for width in self.widths))
        if self.shortcut in ("pad", "pad_both") and list(channels) != sorted(channels):
            self.refuse(
                f"shortcut={self.shortcut!r} with {' → '.join(map(str, channels))} channels",
                "channels that never shrink: zeros can only be added",
                "Use shortcut='projection', or widen with widths=",
            )
        if self.projection_kernel not in (1, 3):
            self.refuse(f"projection_kernel={self.projection_kernel}", "1 or 3", "Customary is 1")
        if not self.final_norm and self.activation != "full_pre":
            self.refuse(
                f"final_norm=False with activation={self.activation!r}",
                "activation='full_pre', which alone has a norm behind the last unit",
                "Leave final_norm out",
            )
        if self.shortcut == "none" and self.gate != "none":
            self.refuse(f"gate={self.gate!r} with shortcut='none'", "a shortcut to gate", "Use gate='none'")
        reason = _NO_ZERO_INIT.get(self.activation)
        if self.shortcut == "none":
            reason = "without a shortcut nothing would reach the classifier, and no gradient would come back"
        if self.zero_init_last_bn and reason:
            self.refuse(
                f"zero_init_last_bn with activation={self.activation!r} and shortcut={self.shortcut!r}",
                f"a unit that can start as its shortcut; here {reason}",
                "Use zero_init_last_bn=False",
            )

    def _check_stride(self) -> None:
        if self.sharing != "none" and self.stride_site == "last_3x3":
            self.refuse(
                f"sharing={self.sharing!r} with stride_site='last_3x3'",
                "units of one stride: the last of a stage would differ from those it shares with",
                "Use stride_site='first_3x3' or 'first_1x1'",
            )
        if not self.output_stride:
            return
        legal = [self.stem_stride * 2**stage for stage in range(len(self.depths))]
        if self.output_stride not in legal:
            self.refuse(
                f"output_stride={quoted(self.output_stride)}",
                f"0, for its own, or one of {some(map(str, legal))}",
                f"The nearest is {min(legal, key=lambda stride: abs(stride - self.output_stride))}",
            )
        in_1x1 = self.unit == "bottleneck" and self.stride_site == "first_1x1"
        if self.padding == "same" and self.output_stride != self.own_stride and not in_1x1:
            self.refuse(
                f"output_stride={self.output_stride} with padding='same' and strided 3×3 convolutions",
                f"0 or {self.own_stride}: SAME pads those on one side at even sizes, which no dilation repeats",
                "Use padding='symmetric'",
            )


_NO_ZERO_INIT = {
    "bn_after_add": "the last BN stands on the shortcut's way too, and every gradient before the classifier would be 0",
    "relu_before_add": "the last BN is followed by a ReLU, which at 0 passes no gradient to the branch",
    "full_pre": "the branch ends in a convolution, and has no last BN",
}
