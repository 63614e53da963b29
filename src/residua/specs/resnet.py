"""The residual family as rows: plain, ResNet v1/v1.5/v2, wide, ResNeXt, SE, TF-slim's, Keras's and the CIFAR forms."""

from __future__ import annotations

from typing import Any

from residua.specs.resnet_spec import ResNetSpec as ResNetSpec
from residua.specs.series import Series

HE_2015 = "He 2015, arXiv 1512.03385"
HE_2016 = "He 2016, arXiv 1603.05027"
TUTORIAL = "a PyTorch tutorial, after He 2015, arXiv 1512.03385"
WIDE = "Zagoruyko 2016, arXiv 1605.07146"
RESNEXT = "Xie 2017, arXiv 1611.05431"
SENET = "Hu 2018, arXiv 1709.01507"

_IMAGENET_WIDTHS = (64, 128, 256, 512)
_DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_DEPTHS |= {200: (3, 24, 36, 3)}


def _imagenet(name: str, depth: int, paper: str = HE_2015, **fields: Any) -> ResNetSpec:
    shape: dict[str, Any] = {"unit": "basic"} if depth < 50 else {"unit": "bottleneck", "expansion": 4}
    return ResNetSpec(name, paper, **{"depths": _DEPTHS[depth], "widths": _IMAGENET_WIDTHS, **shape, **fields})


def _v2(name: str, depth: int, **fields: Any) -> ResNetSpec:
    return _imagenet(name, depth, HE_2016, activation="full_pre", **fields)


# TF-slim (nets/resnet_v2.py, resnet_utils.py): stride in the last unit of blocks 1 to 3, SAME pool of un-activated
# values, biases where no BN follows, decay 0.997, one initialiser (variance 2 / fan-in) for every convolution.
_SLIM_V2: dict[str, Any] = {
    "stride_site": "last_3x3",
    "shortcut": "max_pool",
    "pool_padding": "same",
    "bias": ("stem", "last", "projection"),
    "bn_momentum": 0.003,
    "init": "he_truncated",
    "head": "conv",
    "end_points": "slim",
}
# Keras Applications (keras/src/applications/resnet.py, resnet_v2.py): layers keep Keras's initialiser.
_KERAS: dict[str, Any] = {
    "pool_padding": "zero",
    "bn_eps": 1.001e-5,
    "bn_momentum": 0.01,
    "init": "glorot_uniform",
    "end_points": "keras",
}
_KERAS_V1: dict[str, Any] = {"stride_site": "first_1x1", "bias": ("stem", "inner", "last", "projection"), **_KERAS}
_KERAS_V2: dict[str, Any] = {
    "stride_site": "last_3x3",
    "shortcut": "max_pool",
    "bias": ("stem", "last", "projection"),
    **_KERAS,
}
# The authors' Caffe networks (hujie-frank/SENet): stride in the 1×1 (SENet-154: in the 3×3) and Caffe's pool.
_SENET154: dict[str, Any] = {
    "stem": "deep",
    "stem_width": 128,
    "cardinality": 64,
    "base_width": 4,
    "reduce_first": 2,
    "projection_kernel": 3,
    "se_ratio": 16,
    "pool_padding": "ceil",
    "head_dropout": 0.2,
}
# A widespread tutorial's code in torch: no BN in the stem or behind projections, biases everywhere, torch's initial
# weights, ten classes. Its first stage has a unit more than the depth in the name, since two conditions both add one.
_PLAIN_STEM: dict[str, Any] = {
    "stem": "plain",
    "projection_norm": False,
    "bias": ("stem", "inner", "last", "projection"),
    "init": "torch",
    "num_classes": 10,
}

ROWS: tuple[ResNetSpec, ...] = (
    *(_imagenet(f"plain{d}", d, shortcut="none") for d in (18, 34)),
    _imagenet("resnet18_plainstem", 18, TUTORIAL, depths=(3, 2, 2, 2), **_PLAIN_STEM),
    _imagenet("resnet34_plainstem", 34, TUTORIAL, depths=(4, 4, 6, 3), **_PLAIN_STEM),
    # torchvision and timm put the stride into the 3×3 ("v1.5", after fb.resnet.torch); the paper has it in the 1×1.
    *(_imagenet(f"resnet{d}", d) for d in (18, 34, 50, 101, 152)),
    *(_imagenet(f"resnet{d}_v1", d, stride_site="first_1x1") for d in (50, 101, 152)),
    *(_v2(f"resnet{d}_v2", d) for d in (18, 34, 50, 101, 152, 200)),
    *(_v2(f"resnet{d}_v2_slim", d, **_SLIM_V2) for d in (50, 101, 152, 200)),
    *(_imagenet(f"resnet{d}_keras", d, **_KERAS_V1) for d in (50, 101, 152)),
    *(_v2(f"resnet{d}_v2_keras", d, **_KERAS_V2) for d in (50, 101, 152)),
    _imagenet("wide_resnet50_2", 50, WIDE, base_width=128),
    _imagenet("wide_resnet101_2", 101, WIDE, base_width=128),
    _imagenet("resnext50_32x4d", 50, RESNEXT, cardinality=32, base_width=4),
    _imagenet("resnext101_32x8d", 101, RESNEXT, cardinality=32, base_width=8),
    _imagenet("resnext101_64x4d", 101, RESNEXT, cardinality=64, base_width=4),
    *(_imagenet(f"seresnet{d}", d, SENET, se_ratio=16) for d in (50, 101, 152)),
    *(
        _imagenet(f"seresnet{d}_v1", d, SENET, se_ratio=16, stride_site="first_1x1", pool_padding="ceil")
        for d in (50, 101, 152)
    ),
    _imagenet("senet154", 152, SENET, **_SENET154),
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
    """Return the network of 6n+2 layers with option A (He 2015, section 4.2)."""
    return cifar(name, n)


def cifar_plain(name: str, n: int) -> ResNetSpec:
    """Return `cifar_resnet` of this depth without shortcuts (He 2015, section 4.2)."""
    return cifar(name, n, shortcut="none")


def cifar_seresnet(name: str, n: int) -> ResNetSpec:
    """Return `cifar_resnet` of this depth with squeeze-and-excitation in each unit (Hu 2018, section 6.1)."""
    return cifar(name, n, se_ratio=16, paper=SENET)


def cifar_resnet_v2(name: str, n: int) -> ResNetSpec:
    """Return 6n+2 layers of pre-activated basic units, option A, the first activation before the split (He 2016,
    section 4)."""
    return cifar(name, n, stem_norm=True, **_FULL_PRE)


def cifar_resnet_v2_bottleneck(name: str, n: int) -> ResNetSpec:
    """Return 9n+2 layers of pre-activated bottlenecks, stride in the first 1×1 (resnet-1k-layers)."""
    return cifar(name, n, unit="bottleneck", expansion=4, shortcut="projection", stride_site="first_1x1", **_FULL_PRE)


# Keras's CIFAR-10 example (examples/cifar10_resnet.py): biases everywhere, no BN behind projections.
_KERAS_CIFAR: dict[str, Any] = {
    "shortcut": "projection",
    "projection_norm": False,
    "bias": ("stem", "inner", "last", "projection"),
    "padding": "same",
    "bn_eps": 1e-3,
    "bn_momentum": 0.01,
    "init": "he_truncated",
}


def cifar_resnet_keras(name: str, n: int) -> ResNetSpec:
    """Return 6n+2 layers as Keras's CIFAR-10 example has them: option B without BN, SAME padding."""
    return cifar(name, n, **_KERAS_CIFAR)


def cifar_resnet_v2_keras(name: str, n: int) -> ResNetSpec:
    """Return 9n+2 layers as Keras's CIFAR-10 example has them, which is not He 2016's network.

    Inner widths are 16, 64, 128 (He: 16, 32, 64), so that parameters are 2.6 to 2.9 times as many; projections read
    the raw input.
    """
    shape = {"unit": "bottleneck", "expansion": 4, "inner_widths": (16, 64, 128), "stride_site": "first_1x1"}
    own = {"stem_norm": True, "projection_input": "raw"}
    return cifar(name, n, **shape, **own, **_KERAS_CIFAR, **_FULL_PRE)


def cifar_wrn(name: str, n: int, widen: int) -> ResNetSpec:
    """Return 6n+4 layers of pre-activated basic units, `widen` times as wide (Zagoruyko 2016, table 1)."""
    widths = (16 * widen, 32 * widen, 64 * widen)
    return cifar(name, n, widths=widths, activation="full_pre", shortcut="projection", paper=WIDE)


_HE_DEPTHS = (20, 32, 44, 56, 110)
_BOTTLENECK_DEPTHS = (20, 29, 47, 56, 110, 164, 1001)
_KERAS_V2_DEPTHS = (11, 20, 29, 47, 56, 65, 110, 164)
_WRN_WIDTHS = {16: (1, 2, 4, 8, 10), 22: (8, 10), 28: (10, 12), 40: (1, 2, 4, 8, 10)}
_WRN = tuple((depth, width) for depth, widths in _WRN_WIDTHS.items() for width in widths)

SERIES = (
    Series("cifar_resnet{depth}", 6, 2, cifar_resnet, (*_HE_DEPTHS, 1202)),
    Series("cifar_plain{depth}", 6, 2, cifar_plain, _HE_DEPTHS),
    Series("cifar_seresnet{depth}", 6, 2, cifar_seresnet, _HE_DEPTHS),
    Series("cifar_resnet{depth}_v2", 6, 2, cifar_resnet_v2, _HE_DEPTHS),
    Series("cifar_resnet{depth}_v2_bottleneck", 9, 2, cifar_resnet_v2_bottleneck, _BOTTLENECK_DEPTHS),
    Series("cifar_resnet{depth}_keras", 6, 2, cifar_resnet_keras, _HE_DEPTHS),
    Series("cifar_resnet{depth}_v2_keras", 9, 2, cifar_resnet_v2_keras, _KERAS_V2_DEPTHS),
    Series("cifar_wrn{depth}_{width}", 6, 4, cifar_wrn, _WRN),
)
