"""Other people's names of our networks: a table of patterns, each with its origin."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Alias:
    """Names that others use for networks of ours. Case counts: Keras's `ResNet50` is not torchvision's `resnet50`.

    Attributes:
        pattern: regular expression of the whole name.
        name: ours, with the groups of `pattern` in braces.
        origin: who uses the name.
        edits: fields of our spec in which their network differs from the catalog's row.
        note: what else the name means, "" for nothing.
    """

    pattern: str
    name: str
    origin: str
    edits: dict[str, Any] = field(default_factory=dict)
    note: str = ""


class Equal(NamedTuple):
    """What another's name stands for.

    Attributes:
        name: ours; a series may refuse its depth.
        edits: fields of the spec to change.
        words: "resnet50_v2_slim here: a name in TF-slim", with edits and note.
    """

    name: str
    edits: dict[str, Any]
    words: str


_PAPER_V1 = "a name in He 2015 (arXiv 1512.03385) and its authors' release"
_KERAS = "a class of Keras Applications"
_EXAMPLE = "the name that Keras's CIFAR-10 example gives (examples/cifar10_resnet.py)"
_SLIM = "a name in TF-slim (tensorflow/models, research/slim/nets)"
_TIMM = "a name in timm"
_GLUON = "a name in GluonCV"
_ZAGORUYKO = "a common spelling of Zagoruyko 2016's networks (arXiv 1605.07146)"
_HUANG = "a common spelling of Huang 2017's networks (arXiv 1608.06993)"
_KUANGLIU = "a name in kuangliu/pytorch-cifar"
_INCEPTION = "a name in Szegedy 2016 (arXiv 1512.00567, 1602.07261)"

# The forms of Keras Applications and of TF-slim; `weights.peers.same_network` and `weights.sources` prove them.
KERAS_INCEPTION = {"bn_scale": False, "pool_counts_padding": False, "aux_heads": False, "dropout": 0.0}
KERAS_INCEPTION_RESNET = {"bn_scale": False, "dropout": 0.0}
# Slim strides in the last unit of a block and subsamples its identity, in its v1 networks too (resnet_v1.py).
_SLIM_V1 = {"pool_padding": "same", "stride_site": "last_3x3", "shortcut": "max_pool"}
_FOR_CIFAR = {"stem": "cifar", "num_classes": 10, "input_size": 32}

# The first pattern that matches decides.
ALIASES: tuple[Alias, ...] = (
    # TF-slim
    Alias(r"resnet_v2_(\d+)", "resnet{}_v2_slim", _SLIM),
    Alias(r"resnet_v1_(\d+)", "resnet{}_v1", _SLIM, _SLIM_V1),
    Alias(r"resnet_v2_(\d+)_slim", "resnet{}_v2_slim", f"{_SLIM}, with our suffix"),
    Alias(r"(?:resnet_v1_(\d+)|resnet(\d+)_v1)_slim", "resnet{}_v1", f"{_SLIM}, with our suffix", _SLIM_V1),
    Alias(r"vgg_a", "vgg11", _SLIM),
    Alias(r"vgg_(16|19)", "vgg{}", _SLIM),
    # Keras
    Alias(r"ResNet(50|101|152)[Vv]2", "resnet{}_v2_keras", _KERAS),
    Alias(r"ResNet(50|101|152)", "resnet{}_keras", _KERAS),
    Alias(r"VGG(16|19)", "vgg{}", _KERAS),
    Alias(r"DenseNet(121|169|201)", "densenet{}", _KERAS, {"bn_eps": 1.001e-5}),
    Alias(r"InceptionV3", "inception_v3", _KERAS, KERAS_INCEPTION),
    Alias(r"InceptionResNetV2", "inception_resnet_v2", _KERAS, KERAS_INCEPTION_RESNET),
    Alias(r"ResNet(\d+)v1", "cifar_resnet{}_keras", _EXAMPLE),
    Alias(r"ResNet(\d+)v2", "cifar_resnet{}_v2_keras", _EXAMPLE),
    # timm
    Alias(r"resnetv2_(\d+)", "resnet{}_v2", _TIMM),
    Alias(
        r"resnet200",
        "resnet152",
        _TIMM,
        {"depths": (3, 24, 36, 3)},
        "the 200 layers of He 2016 (arXiv 1603.05027) are resnet200_v2",
    ),
    Alias(r"(?:tf|adv|gluon)_inception_v3", "inception_v3", "a former name in timm", {"aux_heads": False}),
    Alias(r"ens_adv_inception_resnet_v2", "inception_resnet_v2", "a former name in timm"),
    Alias(r"resnet(50|101|152)c", "resnet{}", _TIMM, {"stem": "deep"}),
    Alias(r"seresnext(50)_32x4d", "resnext{}_32x4d", _TIMM, {"se_ratio": 16}),
    Alias(r"legacy_seresnet(50|101|152)", "seresnet{}_v1", _TIMM),
    Alias(r"(?:legacy_senet154|SENet-154|senet_154)", "senet154", "a name in timm and in hujie-frank/SENet"),
    Alias(r"tv_(resnet\d+|densenet121|resnext50_32x4d)", "{}", "a former name in timm"),
    Alias(r"gluon_resnet(\d+)_v1b", "resnet{}", "a former name in timm"),
    # GluonCV
    Alias(r"resnet(\d+)_v1b", "resnet{}", _GLUON),
    Alias(r"resnet(50|101|152)_v1c", "resnet{}", _GLUON, {"stem": "deep"}),
    Alias(
        r"resnet(18|34)_v1", "resnet{}", _GLUON, note="without bottlenecks there is one place for the stride, the 3×3"
    ),
    Alias(r"cifar_resnet(\d+)_v1", "cifar_resnet{}", _GLUON),
    Alias(r"cifar_wideresnet(\d+)_(\d+)", "cifar_wrn{}_{}", _GLUON),
    # Hugging Face's hub
    Alias(r"(?:microsoft/)?resnet-(18|34|50|101|152)", "resnet{}", "a name on Hugging Face's hub"),
    # The papers' spellings
    Alias(r"ResNet-(18|34)", "resnet{}", _PAPER_V1, note="with option B, as in table 3"),
    Alias(r"ResNet-(50|101|152)", "resnet{}_v1", _PAPER_V1),
    Alias(r"ResNet-(20|32|44|56|110|1202)", "cifar_resnet{}", _PAPER_V1),
    Alias(r"plain-(18|34)", "plain{}", _PAPER_V1),
    Alias(r"plain-(20|32|44|56|110)", "cifar_plain{}", _PAPER_V1),
    Alias(r"(?:SE-ResNet-|se_resnet)(50|101|152)", "seresnet{}_v1", "a name in hujie-frank/SENet"),
    Alias(r"ResNeXt-(50|101)[ -]?\(?(32x4d|32x8d|64x4d)\)?", "resnext{}_{}", "a name in Xie 2017 (arXiv 1611.05431)"),
    Alias(r"VGG-(11|13|16|19)", "vgg{}", "a name in Simonyan 2014 (arXiv 1409.1556) and of what cites it"),
    Alias(r"Inception-v([34])", "inception_v{}", _INCEPTION),
    Alias(r"Inception-ResNet-v2", "inception_resnet_v2", _INCEPTION),
    # Wide residual networks: 50 and 101 layers are those of bottlenecks for ImageNet.
    Alias(r"(?i:wrn|wide[_-]?resnet)[_-]?(50|101)[_-]2", "wide_resnet{}_2", _ZAGORUYKO),
    Alias(r"(?i:wrn|wide[_-]?resnet)[_-]?(\d+)[_x-](\d+)", "cifar_wrn{}_{}", _ZAGORUYKO),
    # DenseNets: a number of its own is a network for ImageNet, one with a growth rate is for CIFAR.
    Alias(r"(?i:densenet)[_-](121|161|169|201)", "densenet{}", _HUANG),
    Alias(r"(?i:densenet)[_-]?(?i:bc)[_-](\d+)[_-](\d+)", "cifar_densenet_bc{}_{}", _HUANG),
    Alias(r"(?i:densenet)[_-](\d+)[_-](\d+)", "cifar_densenet{}_{}", _HUANG),
    # Networks for CIFAR in torch
    Alias(
        r"resnet(20|32|44|56|110|1202)",
        "cifar_resnet{}",
        "a name in akamaster/pytorch_resnet_cifar10",
        {"shortcut": "pad_both"},
    ),
    Alias(r"PreActResNet(18|34|50|101|152)", "resnet{}_v2", _KUANGLIU, {**_FOR_CIFAR, "final_norm": False}),
    Alias(
        r"(?:preact|pre_act|pre)_?resnet_?(18|34|50|101|152|200)",
        "resnet{}_v2",
        "a common name of He 2016's pre-activated networks (arXiv 1603.05027)",
        note="the one for images of 32 pixels is called PreActResNet18, …",
    ),
)

# timm writes `architecture.tag`: the tag names weights and leaves the network as it is.
_TAGGED = re.compile(r"(?:timm/)?([a-z][a-z0-9_]*)\.([a-z0-9_]+)")


def equal_of(name: str, ours: frozenset[str]) -> Equal | None:
    """Return what another's name stands for, None where the table does not have it.

    Args:
        name: as it was given.
        ours: the names of the catalog, for names of timm that are ours too.
    """
    tagged = _TAGGED.fullmatch(name)
    if tagged:
        inner = Equal(tagged[1], {}, "") if tagged[1] in ours else equal_of(tagged[1], ours)
        if inner is None:
            return None
        words = inner.words or f"{inner.name} here: {_TIMM}"
        tag = f"its tag {tagged[2]!r} chooses weights, not the network, and is not looked up"
        return inner._replace(words=f"{words}; {tag}: for those weights use weights='timm:{tagged[2]}'")
    for alias in ALIASES:
        match = re.fullmatch(alias.pattern, name)
        if match:
            numbers = [group for group in match.groups() if group is not None]
            mine = alias.name.format(*numbers)
            edits = ", ".join(f"{key}={value!r}" for key, value in alias.edits.items())
            words = f"{mine}{f' with {edits}' if edits else ''} here: {alias.origin}"
            return Equal(mine, dict(alias.edits), f"{words}; {alias.note}" if alias.note else words)
    return None
