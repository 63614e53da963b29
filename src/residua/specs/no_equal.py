"""Networks that the catalog does not have, by their names: which of ours is nearest, and what differs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class NoEqual:
    """Networks of others that none of ours computes.

    Attributes:
        pattern: regular expression of the whole name, whatever its case.
        nearest: of ours, with the first group of `pattern` in braces.
        differs: what theirs has instead.
        source: where it was published.
    """

    pattern: str
    nearest: str
    differs: str
    source: str


class Nearest(NamedTuple):
    """The nearest of ours to a network that the catalog does not have.

    Attributes:
        name: of the nearest.
        words: what differs, with its source.
    """

    name: str
    words: str


_MOBILE = "depthwise 3×3 convolutions between 1×1 ones"

NO_EQUALS: tuple[NoEqual, ...] = (
    # Residual networks of another form
    NoEqual(
        r"(?:gluon_)?resnet(18|34|50|101|152)(?:_v1)?d",
        "resnet{}",
        "three 3×3 convolutions for the 7×7 (ours: stem='deep'), and a 2×2 average pool before a 1×1 projection of "
        "stride 1",
        "He 2019, arXiv 1812.01187",
    ),
    NoEqual(
        r"(?:gluon_)?resnet(50|101|152)(?:_v1)?[st]",
        "resnet{}",
        "a wider stem of three 3×3 convolutions (ours: stem='deep', stem_width=…)",
        "timm, GluonCV",
    ),
    NoEqual(
        r"resnest-?(50|101)\w*",
        "seresnet{}",
        "split attention: a softmax over groups of the 3×3, where ours has one gate per channel",
        "Zhang 2020, arXiv 2004.08955",
    ),
    NoEqual(
        r"resnest\w*", "seresnet101", "split attention, and a deeper or shallower plan", "Zhang 2020, arXiv 2004.08955"
    ),
    NoEqual(
        r"resnetv2_(50|101|152)x\d\w*|bit[-_]m?.*",
        "resnet{}_v2",
        "group normalisation and standardised kernels for batch normalisation",
        "Kolesnikov 2020, arXiv 1912.11370",
    ),
    NoEqual(
        r"resnetv2_(50|101|152)[dt]\w*",
        "resnet{}_v2",
        "a deep stem, and a 2×2 average pool before projections",
        "timm",
    ),
    NoEqual(
        r"res2ne[x]?t(50|101)\w*", "resnet{}", "a hierarchy of 3×3 convolutions in a unit", "Gao 2019, arXiv 1904.01169"
    ),
    NoEqual(
        r"eca_?resnet(50|101)\w*", "seresnet{}", "a 1-D convolution over channels for SE", "Wang 2020, arXiv 1910.03151"
    ),
    NoEqual(r"sk_?resnet(18|34|50)\w*", "resnet{}", "kernels of two sizes with a gate", "Li 2019, arXiv 1903.06586"),
    NoEqual(
        r"cbam_?resnet(18|34|50|101)\w*",
        "resnet{}",
        "a gate per channel and one per pixel",
        "Woo 2018, arXiv 1807.06521",
    ),
    NoEqual(
        r"resnet(50|101|152)rs|resnetrs(50|101|152)\w*",
        "seresnet{}",
        "a deep stem with a strided convolution for the pool, average pools before projections, SE of ratio 4",
        "Bello 2021, arXiv 2103.07579",
    ),
    NoEqual(
        r"resnet(?:blur|aa)(50|101)\w*", "resnet{}", "a low-pass filter before striding", "Zhang 2019, arXiv 1904.11486"
    ),
    NoEqual(
        r"(?:dm_)?nfnet\w*|nf_(?:resnet|regnet)\w*",
        "resnet50_v2",
        "no batch normalisation: scaled, standardised kernels",
        "Brock 2021, arXiv 2102.06171",
    ),
    NoEqual(
        r"(?:legacy_)?se_?resnext(50|101)\w*",
        "resnext{}_32x4d",
        "squeeze-and-excitation (ours: se_ratio=16), and another place of the stride or of the pool's border",
        "Hu 2018, arXiv 1709.01507",
    ),
    NoEqual(r"dpn\w*", "resnext101_32x8d", "a dense path beside the residual one", "Chen 2017, arXiv 1707.01629"),
    NoEqual(r"regnet\w*", "resnext50_32x4d", "depths and widths from a search", "Radosavovic 2020, arXiv 2003.13678"),
    NoEqual(
        r"cs(?:pres|pdark|3)\w*|darknet\w*",
        "resnet50",
        "stages of which a part of the channels goes around, or Darknet's units",
        "Wang 2020, arXiv 1911.11929",
    ),
    NoEqual(
        r"hrnet\w*|dla\d+\w*",
        "resnet50",
        "several resolutions side by side, fused again and again",
        "Wang 2019, arXiv 1908.07919; Yu 2018, arXiv 1707.06484",
    ),
    # Inceptions
    NoEqual(
        r"(?:inception_v1|inceptionv1)",
        "googlenet_bn",
        "TensorFlow's padding, and 3×3 convolutions in place of the 5×5",
        "TF-slim",
    ),
    NoEqual(
        r"(?:inception_v2|inceptionv2|bn-?inception)",
        "googlenet_bn",
        "two 3×3 for the 5×5, units that halve the resolution with stride, average pools",
        "Ioffe 2015, arXiv 1502.03167",
    ),
    NoEqual(
        r"(?:legacy_)?xception\w*",
        "inception_v3",
        "depthwise separable convolutions with residual shortcuts",
        "Chollet 2017, arXiv 1610.02357",
    ),
    NoEqual(
        r"inception_resnet_v1|inceptionresnetv1",
        "inception_resnet_v2",
        "narrower units and Inception-v3's stem",
        "Szegedy 2016, arXiv 1602.07261",
    ),
    # Small networks, found or made for phones
    NoEqual(
        r"efficientnet\w*|tf_efficientnet\w*",
        "seresnet50",
        f"{_MOBILE}, with squeeze-and-excitation",
        "Tan 2019, arXiv 1905.11946",
    ),
    NoEqual(
        r"(?:tf_)?mobilenet\w*|mnasnet\w*|mobilevit\w*|ghostnet\w*",
        "resnet18",
        _MOBILE,
        "Howard 2017, arXiv 1704.04861",
    ),
    NoEqual(
        r"shufflenet\w*",
        "resnext50_32x4d",
        "grouped 1×1 convolutions and a shuffle of channels",
        "Zhang 2018, arXiv 1707.01083",
    ),
    NoEqual(
        r"squeezenet\w*", "nin", "units that squeeze by 1×1 and expand by 1×1 and 3×3", "Iandola 2016, arXiv 1602.07360"
    ),
    NoEqual(r"p?nasnet\w*", "inception_v4", "cells found by a search", "Zoph 2018, arXiv 1707.07012"),
    # Before residual networks
    NoEqual(r"alexnet_v2", "alexnet", "VALID padding and convolutions for the fully connected layers", "TF-slim"),
    NoEqual(r"caffenet|bvlc_reference_caffenet", "alexnet_2012", "pooling before normalisation", "BVLC/caffe"),
    NoEqual(r"overfeat", "zfnet_512_1024_512", "no normalisation, 11×11 stride 4", "Sermanet 2014, arXiv 1312.6229"),
    NoEqual(r"lenet\w*|cifarnet", "cifar_nin", "two convolutions and fully connected layers", "LeCun 1998"),
    # After residual networks
    NoEqual(
        r"convnext\w*",
        "resnet50",
        "depthwise 7×7 convolutions, layer normalisation, GELU",
        "Liu 2022, arXiv 2201.03545",
    ),
    NoEqual(
        r"(?:vit|deit|swin|beit|maxvit|coatnet|pvt|cait|eva)(?:_\w+|\d\w*)?",
        "resnet50",
        "attention between patches, no convolutions but the first",
        "Dosovitskiy 2021, arXiv 2010.11929",
    ),
)


def nearest_of(name: str) -> Nearest | None:
    """Return the nearest of ours to a network that we do not have, None where the table does not have it."""
    # timm's tag of weights, and the owner on the hub, leave the network as it is.
    bare = name.rpartition("/")[2].partition(".")[0]
    for row in NO_EQUALS:
        match = re.fullmatch(row.pattern, bare, re.IGNORECASE)
        if match:
            number = next((group for group in match.groups() if group), "50")
            return Nearest(row.nearest.format(number), f"{row.differs} ({row.source})")
    return None
