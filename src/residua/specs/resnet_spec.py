"""A residual network as a value: the dataclass whose rows are `residua.specs.resnet`."""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from residua.specs.fields import (
    Channels,
    ChannelsOfStages,
    Classes,
    Divisor,
    Dropout,
    Epsilon,
    Factor,
    GlobalPool,
    InChannels,
    InputSize,
    Momentum,
    Name,
    Paper,
    Role,
    Span,
    StartBias,
    StartBiasOrNone,
    UnitCounts,
    checked,
)
from residua.specs.ranges import with_ranges
from residua.specs.resnet_rules import check_together
from residua.specs.resnet_units import Units, own_strides, regular_form
from residua.specs.schema import Spec

Unit = Literal["basic", "bottleneck"]
Activation = Literal["post", "bn_after_add", "relu_before_add", "relu_only_pre", "full_pre"]
Stem = Literal["imagenet", "deep", "cifar", "plain", "none"]
StrideSite = Literal["first_1x1", "first_3x3", "last_3x3"]
Shortcut = Literal["none", "pad", "pad_both", "projection", "projection_all", "max_pool"]
Gate = Literal["none", "constant", "exclusive", "shortcut_only", "dropout", "independent"]
Padding = Literal["symmetric", "same"]
PoolPadding = Literal["symmetric", "zero", "same", "ceil", "valid"]
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
        units: all units as a free list beside the two: for each stage one (depth, inner depth, stride) a unit, as
            TF-slim's Block has them; (): the regular form. `edit(units=…)` settles the regular form with it, and a
            contradiction between the two is refused. Depth is the output's channels, inner depth those of a
            bottleneck's 3×3 or a basic unit's first convolution. Any unit may stride; `stride_site` states by which of
            its convolutions.
        unit: "basic" (3×3, 3×3) or "bottleneck" (1×1, 3×3, 1×1).
        expansion: output channels of a unit over the stage's width; 4 for a bottleneck (He 2015, section 4.1).
        activation: order of BN, ReLU and addition, the five of He 2016, figure 4: "post" (a, original),
            "bn_after_add" (b), "relu_before_add" (c), "relu_only_pre" (d), "full_pre" (e).
        stem: "imagenet" (7×7 stride 2, then 3×3 max-pool stride 2); "deep", with three 3×3 for the 7×7, the first two
            half as wide (SENet-154); "cifar" (3×3); "plain", as "imagenet" without BN between 7×7 and ReLU; or "none",
            the first stage reads the input of `in_channels` (TF-slim's include_root_block=False).
        stem_width: channels that leave the stem; without one it has no effect.
        stem_norm: with a pre-activated order, the first unit's activation stands in the stem, before the pool and
            before the paths split (He 2016, section 4; fb.resnet.torch). False: inside the first unit, behind the
            pool, where an identity shortcut does not see it (timm). The other orders always have it in the stem.
        pool_padding: how the stem's pool pads: "symmetric", −inf on both sides (torch); "zero" (Keras); "same", −inf as
            TensorFlow's SAME; or not at all: "ceil", windows over the edge being cut (Caffe), "valid", those being left
            out (TensorFlow's VALID). Zeros differ on un-activated values. "same" and "ceil" agree at even sizes, and
            shift the grid of the first two; "valid" has a row and a column less.
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
            `branch_scale`); "exclusive" (1 − g and g); "shortcut_only" (1 − g and 1); "dropout" of the shortcut. Not of
            that table: "independent", c and g, each a gate of its own (Srivastava 2015, arXiv 1505.00387, equation 2).
        shortcut_scale: factor of the shortcut with gate "constant".
        branch_scale: factor of the branch with gate "constant".
        gate_bias: initial bias of g = sigmoid(1×1 convolution).
        carry_bias: initial bias of c with gate "independent"; None: -gate_bias, so that with weights of 0 both start
            as "exclusive" does, c = 1 − g.
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
        stochastic_depth: probability with which training drops the branch of the last unit (1 − p_L of Huang 2016,
            arXiv 1603.09382; there 0.5); of unit l of L, l/L of it. What is kept is divided by its probability, so
            that evaluation is the plain network; the paper multiplies in evaluation instead.
        stochastic_depth_mode: one draw for the "batch" (the paper) or one for each image, "row" (torchvision, timm).
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
        global_pool: False: no pooling; the classifier answers at each position, (B, num_classes, h, w).
        num_classes: outputs; 0 or None: no classifier, the pooled features come out.
        in_channels: channels of the input image; without a stem those that the first stage reads.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "resnet"

    name: Name
    paper: Paper
    depths: UnitCounts
    widths: ChannelsOfStages
    unit: Unit
    units: Units = ()
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
    carry_bias: StartBiasOrNone = None
    shortcut_dropout: Dropout = 0.5
    cardinality: Divisor = 1
    base_width: Channels = 64
    inner_widths: tuple[Channels, ...] = ()
    reduce_first: Divisor = 1
    se_ratio: Annotated[int, Span(0, 2**24, hint="Use 0 for none")] = 0
    sharing: Sharing = "none"
    dropout: Dropout = 0.0
    stochastic_depth: Dropout = 0.0
    stochastic_depth_mode: Annotated[Literal["batch", "row"], Role("training")] = "batch"
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
    global_pool: GlobalPool = True
    num_classes: Classes = 1000
    in_channels: InChannels = 3
    input_size: InputSize = 224

    @property
    def depth(self) -> int:
        """Layers with weights on the main path, as the papers count them."""
        root = {"deep": 3, "none": 0}.get(self.stem, 1)
        return sum(self.depths) * (2 if self.unit == "basic" else 3) + root + 1

    @property
    def stem_stride(self) -> int:
        """Pixels of the image per pixel of the first stage."""
        return 1 if self.stem in ("cifar", "none") else 4

    @property
    def entry_width(self) -> int:
        """Channels that the first stage reads."""
        return self.in_channels if self.stem == "none" else self.stem_width

    @property
    def strides(self) -> tuple[tuple[int, ...], ...]:
        """The stride of each unit, by stage, without dilation."""
        return own_strides(self)

    @property
    def own_stride(self) -> int:
        """Pixels of the image per pixel of the features, without dilation."""
        return self.reached_strides[-1]

    @property
    def reached_strides(self) -> tuple[int, ...]:
        """Pixels of the image per pixel at each resolution on the way, that of the first stage's input first."""
        steps = [stride for stage in self.units for _, _, stride in stage if stride > 1]
        steps = steps if self.units else [2] * (len(self.depths) - 1)
        return tuple(itertools.accumulate(steps, operator.mul, initial=self.stem_stride))

    def inner_width(self, stage: int) -> int:
        """Return the channels of a bottleneck's 3×3 in a stage, counted from 0."""
        if self.inner_widths:
            return self.inner_widths[stage]
        return self.widths[stage] * self.base_width // 64 * self.cardinality

    def unit_widths(self, stage: int, index: int) -> tuple[int, int]:
        """Return the channels of a unit's output, and those of its 3×3 or a basic unit's first convolution.

        Stage and index count from 0.
        """
        if self.units:
            depth, inner, _ = self.units[stage][index]
            return depth, inner
        inner = self.widths[stage] if self.unit == "basic" else self.inner_width(stage)
        return self.widths[stage] * self.expansion, inner

    def edit(self, **edits: Any) -> Self:
        """Return a copy with some fields changed; `units` changes the regular form with them.

        Raises:
            InputError: as `Spec.edit`.
        """
        if edits.get("units"):
            units = checked("units", edits["units"], Units, "Leave it out for the regular form")
            if all(units):
                edits = {**regular_form(units, self), **edits}
        return super().edit(**edits)

    def check(self) -> None:
        check_together(self)
