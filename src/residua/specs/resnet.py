"""The residual family as rows of one dataclass: plain, ResNet v1/v1.5/v2, wide, ResNeXt, SE and the CIFAR forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from residua._base.errors import InputError
from residua.specs import schema
from residua.specs.fields import settle
from residua.specs.series import Series

Unit = Literal["basic", "bottleneck"]
Activation = Literal["post", "bn_after_add", "relu_before_add", "relu_only_pre", "full_pre"]
Stem = Literal["imagenet", "cifar"]
StrideSite = Literal["first_1x1", "first_3x3", "last_3x3"]
Shortcut = Literal["none", "pad", "pad_both", "projection", "projection_all", "max_pool"]
Gate = Literal["none", "constant", "exclusive", "shortcut_only", "dropout"]
Padding = Literal["symmetric", "same"]
PoolPadding = Literal["symmetric", "zero", "same"]
BiasSite = Literal["stem", "inner", "last", "projection"]


@dataclass(frozen=True)
class ResNetSpec:
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
        stem: "imagenet" (7×7 stride 2, then 3×3 max-pool stride 2) or "cifar" (3×3).
        stem_width: channels of the stem.
        stem_norm: with a pre-activated order, the first unit's activation stands in the stem, before the pool and
            before the paths split (He 2016, section 4; fb.resnet.torch). False: inside the first unit, behind the
            pool, where an identity shortcut does not see it (timm). The other orders always have it in the stem.
        pool_padding: the stem's pool pads with −inf on both sides ("symmetric", torch), with zeros ("zero", Keras),
            or with −inf as TensorFlow's SAME and Caffe's ceil mode do ("same"). They differ on un-activated values.
        stride_site: where a stage halves the resolution: the first unit's first convolution ("first_1x1", He 2015,
            Caffe, Keras), its 3×3 ("first_3x3", torchvision's v1.5), or the 3×3 of the last unit of the stage before
            ("last_3x3", TF-slim). The first and the last compute one function at different cost.
        shortcut: how a unit's input reaches the addition. "none" (plain net); "pad": strided identity, new channels
            zero and appended (option A); "pad_both": zeros on both sides of the channels; "projection": 1×1
            convolution where the shape changes (option B); "projection_all": everywhere (option C); "max_pool":
            1×1 max-pool where only the resolution changes, projection where the channels do (TF-slim).
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
        se_ratio: squeeze-and-excitation's reduction, 0 for none (Hu 2018: 16).
        dropout: drop probability inside the unit, before its last convolution (Zagoruyko 2016).
        bias: sites of convolutions with a bias: "stem", "inner", "last" (of a unit), "projection".
        padding: "symmetric", or TensorFlow's "same", which puts the odd pixel after.
        bn_eps: epsilon of batch normalisation.
        bn_momentum: weight of the new batch in the running statistics (torch's convention).
        zero_init_last_bn: start each unit as its shortcut (Goyal 2017, section 5.1); with "post" and "relu_only_pre",
            whose branches end in a BN.
        head: "linear" after global average pooling, or the same as a 1×1 convolution, "conv".
        num_classes: outputs.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    name: str
    paper: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    unit: Unit
    expansion: int = 1
    activation: Activation = "post"
    stem: Stem = "imagenet"
    stem_width: int = 64
    stem_norm: bool = False
    pool_padding: PoolPadding = "symmetric"
    stride_site: StrideSite = "first_3x3"
    shortcut: Shortcut = "projection"
    projection_norm: bool | None = None
    projection_input: Literal["preactivated", "raw"] = "preactivated"
    gate: Gate = "none"
    shortcut_scale: float = 1.0
    branch_scale: float = 1.0
    gate_bias: float = -6.0
    shortcut_dropout: float = 0.5
    cardinality: int = 1
    base_width: int = 64
    se_ratio: int = 0
    dropout: float = 0.0
    bias: tuple[BiasSite, ...] = ()
    padding: Padding = "symmetric"
    bn_eps: float = 1e-5
    bn_momentum: float = 0.1
    zero_init_last_bn: bool = False
    head: Literal["linear", "conv"] = "linear"
    num_classes: int = 1000
    in_channels: int = 3
    input_size: int = 224

    @property
    def family(self) -> str:
        """The name of the family's module."""
        return "resnet"

    @property
    def depth(self) -> int:
        """Layers with weights on the main path, as the papers count them."""
        return sum(self.depths) * (2 if self.unit == "basic" else 3) + 2

    def edit(self, **edits: Any) -> Self:
        """Return a copy with some fields changed; unknown fields are refused with the nearest name."""
        return schema.edit(self, **edits)

    def __post_init__(self) -> None:
        settle(self)

        def refuse(given: str, wanted: str, remedy: str) -> None:
            raise InputError(f"{given} for {self.name}", wanted, remedy)

        for name in _POSITIVE:
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not numbers or min(numbers) < 1:
                refuse(f"{name}={value!r}", "whole numbers above 0", f"Give {name} another value")
        for name in ("shortcut_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                refuse(f"{name}={getattr(self, name)}", "a probability: 0 <= p < 1", "Customary is 0.3")
        if len(self.depths) != len(self.widths):
            refuse(
                f"depths={self.depths} and widths={self.widths}",
                "one width for each stage",
                "Give both lists the same length",
            )
        if self.unit == "basic" and (self.cardinality, self.base_width) != (1, 64):
            refuse(
                f"cardinality={self.cardinality}, base_width={self.base_width} with basic units",
                "a bottleneck, which alone has a grouped 3×3",
                "Use unit='bottleneck', or widen with widths=",
            )
        if self.shortcut == "none" and self.gate != "none":
            refuse(f"gate={self.gate!r} with shortcut='none'", "a shortcut to gate", "Use gate='none'")
        if self.bn_eps <= 0 or not 0 <= self.bn_momentum <= 1:
            refuse(
                f"bn_eps={self.bn_eps}, bn_momentum={self.bn_momentum}",
                "bn_eps > 0 and 0 <= bn_momentum <= 1",
                "torch's own are 1e-5 and 0.1",
            )
        if self.se_ratio < 0:
            refuse(f"se_ratio={self.se_ratio}", "se_ratio >= 0", "Use 0 for none")
        if self.zero_init_last_bn:
            reason = _NO_ZERO_INIT.get(self.activation)
            if self.shortcut == "none":
                reason = "without a shortcut nothing would reach the classifier, and no gradient would come back"
            if reason:
                refuse(
                    f"zero_init_last_bn with activation={self.activation!r} and shortcut={self.shortcut!r}",
                    f"a unit that can start as its shortcut; here {reason}",
                    "Use zero_init_last_bn=False",
                )


_POSITIVE = (
    *("depths", "widths", "expansion", "stem_width", "cardinality", "base_width"),
    *("num_classes", "in_channels", "input_size"),
)
_NO_ZERO_INIT = {
    "bn_after_add": "the last BN stands on the shortcut's way too, and every gradient before the classifier would be 0",
    "relu_before_add": "the last BN is followed by a ReLU, which at 0 passes no gradient to the branch",
    "full_pre": "the branch ends in a convolution, and has no last BN",
}

HE_2015 = "He 2015, arXiv 1512.03385"
HE_2016 = "He 2016, arXiv 1603.05027"
WIDE = "Zagoruyko 2016, arXiv 1605.07146"
RESNEXT = "Xie 2017, arXiv 1611.05431"
SENET = "Hu 2018, arXiv 1709.01507"

_IMAGENET_WIDTHS = (64, 128, 256, 512)
_DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_DEPTHS |= {200: (3, 24, 36, 3)}


def _imagenet(name: str, depth: int, paper: str = HE_2015, **fields: Any) -> ResNetSpec:
    shape: dict[str, Any] = {"unit": "basic"} if depth < 50 else {"unit": "bottleneck", "expansion": 4}
    return ResNetSpec(name, paper, _DEPTHS[depth], _IMAGENET_WIDTHS, **{**shape, **fields})


def _v2(name: str, depth: int, **fields: Any) -> ResNetSpec:
    return _imagenet(name, depth, HE_2016, activation="full_pre", **fields)


ROWS: tuple[ResNetSpec, ...] = (
    *(_imagenet(f"plain{d}", d, shortcut="none") for d in (18, 34)),
    # torchvision and timm put the stride into the 3×3 ("v1.5", after fb.resnet.torch); the paper has it in the 1×1.
    *(_imagenet(f"resnet{d}", d) for d in (18, 34, 50, 101, 152)),
    *(_imagenet(f"resnet{d}_v1", d, stride_site="first_1x1") for d in (50, 101, 152)),
    *(_v2(f"resnet{d}_v2", d) for d in (18, 34, 50, 101, 152, 200)),
    _imagenet("wide_resnet50_2", 50, WIDE, base_width=128),
    _imagenet("wide_resnet101_2", 101, WIDE, base_width=128),
    _imagenet("resnext50_32x4d", 50, RESNEXT, cardinality=32, base_width=4),
    _imagenet("resnext101_32x8d", 101, RESNEXT, cardinality=32, base_width=8),
    _imagenet("resnext101_64x4d", 101, RESNEXT, cardinality=64, base_width=4),
    *(_imagenet(f"seresnet{d}", d, SENET, se_ratio=16) for d in (50, 101, 152)),
    # The authors' form has Caffe's ceil-mode pool besides the stride in the 1×1.
    *(
        _imagenet(f"seresnet{d}_v1", d, SENET, se_ratio=16, stride_site="first_1x1", pool_padding="same")
        for d in (50, 101, 152)
    ),
)


def cifar(name: str, units: int, **fields: Any) -> ResNetSpec:
    """Return a three-stage network for 32-pixel images with `units` units a stage (He 2015, section 4.2)."""
    shape: dict[str, Any] = {
        "unit": "basic",
        "widths": (16, 32, 64),
        "shortcut": "pad",
        "paper": HE_2015,
    } | fields
    return ResNetSpec(name, depths=(units,) * 3, stem="cifar", stem_width=16, num_classes=10, input_size=32, **shape)


_FULL_PRE: dict[str, Any] = {"activation": "full_pre", "paper": HE_2016}


def cifar_resnet(name: str, n: int) -> ResNetSpec:
    """6n+2 layers, option A (He 2015, section 4.2)."""
    return cifar(name, n)


def cifar_plain(name: str, n: int) -> ResNetSpec:
    """The same without shortcuts."""
    return cifar(name, n, shortcut="none")


def cifar_seresnet(name: str, n: int) -> ResNetSpec:
    """The same with squeeze-and-excitation in each unit (Hu 2018, section 6.1)."""
    return cifar(name, n, se_ratio=16, paper=SENET)


def cifar_resnet_v2(name: str, n: int) -> ResNetSpec:
    """6n+2 layers of pre-activated basic units, option A; first activation before the split (He 2016, section 4)."""
    return cifar(name, n, stem_norm=True, **_FULL_PRE)


def cifar_resnet_v2_bottleneck(name: str, n: int) -> ResNetSpec:
    """9n+2 layers of pre-activated bottlenecks; stride in the first 1×1 (resnet-1k-layers)."""
    return cifar(name, n, unit="bottleneck", expansion=4, shortcut="projection", stride_site="first_1x1", **_FULL_PRE)


def cifar_wrn(name: str, n: int, widen: int) -> ResNetSpec:
    """6n+4 layers of pre-activated basic units, `widen` times as wide (Zagoruyko 2016, table 1)."""
    widths = (16 * widen, 32 * widen, 64 * widen)
    return cifar(name, n, widths=widths, activation="full_pre", shortcut="projection", paper=WIDE)


_HE_DEPTHS = (20, 32, 44, 56, 110)
_BOTTLENECK_DEPTHS = (20, 29, 47, 56, 110, 164, 1001)
_WRN_WIDTHS = {16: (1, 2, 4, 8, 10), 22: (8, 10), 28: (10, 12), 40: (1, 2, 4, 8, 10)}
_WRN = tuple((depth, width) for depth, widths in _WRN_WIDTHS.items() for width in widths)

SERIES = (
    Series("cifar_resnet{depth}", 6, 2, cifar_resnet, (*_HE_DEPTHS, 1202)),
    Series("cifar_plain{depth}", 6, 2, cifar_plain, _HE_DEPTHS),
    Series("cifar_seresnet{depth}", 6, 2, cifar_seresnet, _HE_DEPTHS),
    Series("cifar_resnet{depth}_v2", 6, 2, cifar_resnet_v2, _HE_DEPTHS),
    Series("cifar_resnet{depth}_v2_bottleneck", 9, 2, cifar_resnet_v2_bottleneck, _BOTTLENECK_DEPTHS),
    Series("cifar_wrn{depth}_{width}", 6, 4, cifar_wrn, _WRN),
)
