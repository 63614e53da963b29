"""Which networks of peers have the structure of ours: one table for converting, for config.json and for proofs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from residua.specs.aliases import KERAS_INCEPTION, KERAS_INCEPTION_RESNET

OURS = "residua:"
"""What begins the architecture's name in our config.json where timm has no such network."""


@dataclass(frozen=True)
class PeerNetwork:
    """A peer's network that computes what ours computes from the same weights.

    Attributes:
        name: as the peer calls it.
        edits: fields of our spec in which the peer differs from the catalog's row.
        same_keys: whether the peer's state dict has our names and layouts; meaningful for torch's peers.
    """

    name: str
    edits: dict[str, Any] = field(default_factory=dict)
    same_keys: bool = True


def _same(*names: str, same_keys: bool = True) -> dict[str, PeerNetwork]:
    return {name: PeerNetwork(name, same_keys=same_keys) for name in names}


def _renamed(ours: str, theirs: str, numbers: tuple[int, ...]) -> dict[str, PeerNetwork]:
    return {ours.format(n): PeerNetwork(theirs.format(n), same_keys=False) for n in numbers}


_RESNETS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
)
_VGGS = tuple(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn"))
_DENSENETS = tuple(f"densenet{depth}" for depth in (121, 161, 169, 201))
_SE = (50, 101, 152)

PEER_NETWORKS: dict[str, dict[str, PeerNetwork]] = {
    "torchvision": {
        **_same("alexnet", *_VGGS, "inception_v3", *_RESNETS, *_DENSENETS),
        "googlenet_bn": PeerNetwork("googlenet"),
    },
    "timm": {
        **_same(*_RESNETS, *_DENSENETS, *(f"seresnet{depth}" for depth in _SE), "inception_v4", "inception_resnet_v2"),
        **_same(*_VGGS, same_keys=False),
        **_renamed("resnet{}_v2", "resnetv2_{}", (18, 34, 50, 101, 152)),
        **_renamed("seresnet{}_v1", "legacy_seresnet{}", _SE),
        "senet154": PeerNetwork("legacy_senet154", same_keys=False),
        "inception_v3": PeerNetwork("inception_v3", {"aux_heads": False}),
    },
    "keras": {
        **_renamed("vgg{}", "VGG{}", (16, 19)),
        **_renamed("resnet{}_keras", "ResNet{}", (50, 101, 152)),
        **_renamed("resnet{}_v2_keras", "ResNet{}V2", (50, 101, 152)),
        **{
            f"densenet{depth}": PeerNetwork(f"DenseNet{depth}", {"bn_eps": 1.001e-5}, False)
            for depth in (121, 169, 201)
        },
        "inception_v3": PeerNetwork("InceptionV3", KERAS_INCEPTION, False),
        "inception_resnet_v2": PeerNetwork("InceptionResNetV2", KERAS_INCEPTION_RESNET, False),
    },
}


# Networks that a peer's authors published as code, and that no library builds: the proofs build them. Of every legal
# depth; our names, then theirs. `specs.aliases` knows the latter, and takes them for ours.
PEER_GRAPHS: dict[str, dict[str, str]] = {
    "keras": {r"cifar_resnet(\d+)_keras": "ResNet{}v1", r"cifar_resnet(\d+)_v2_keras": "ResNet{}v2"},
    "slim": {r"resnet(50|101|152|200)_v2_slim": "resnet_v2_{}"},
}


def peer_network_of(name: str, peer: str) -> PeerNetwork | None:
    """Return a peer's network, or published graph, that computes what ours of this name computes; None: it has none."""
    if network := PEER_NETWORKS.get(peer, {}).get(name):
        return network
    for pattern, theirs in PEER_GRAPHS.get(peer, {}).items():
        if match := re.fullmatch(pattern, name):
            return PeerNetwork(theirs.format(match[1]), same_keys=False)
    return None


def ours_of(architecture: str, peer: str = "timm") -> str | None:
    """Return our name of the network that a peer's file names, or None where we have none of that name."""
    if architecture.startswith(OURS):
        return architecture.removeprefix(OURS)
    return next((ours for ours, network in PEER_NETWORKS[peer].items() if network.name == architecture), None)
