"""One network of each structure: the catalog's other rows differ in depth and width alone."""

from __future__ import annotations

import torch

from peers.randomised import randomised
from residua.families.build import build
from residua.families.network import Classifier
from residua.families.sizes import nearest_size
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec

_NAMES = "alexnet alexnet_2012 zfnet nin cifar_nin vgg11 vgg11_bn googlenet googlenet_bn cifar_highway19"
_NAMES += " cifar_highway32 highway_mlp10 plain18 resnet18 resnet50_v1 resnet18_v2 resnet50_v2_slim resnet50_keras"
_NAMES += " resnet50_v2_keras wide_resnet50_2 resnext50_32x4d seresnet50_v1 senet154 inception_v3 inception_v4"
_NAMES += " inception_resnet_v2 densenet121 cifar_resnet20 cifar_plain20 cifar_resnet20_v2 cifar_resnet29_v2_bottleneck"
_NAMES += " cifar_resnet20_keras cifar_resnet20_v2_keras cifar_wrn16_2 cifar_densenet40_12 cifar_densenet_bc100_12"
_NAMES += " cifar_seresnet20"
REPRESENTATIVES = _NAMES.split()
# These have the structure of their smaller kin, and take as long as twenty others.
LARGEST = ("cifar_resnet1202", "cifar_densenet_bc250_24")


def spec_for(name: str) -> Spec:
    """Every structure of the network, with few units a stage and small fully connected layers.

    A stage is entered by its first unit and goes on with its second: one stage of two has both. Dense layers are two
    everywhere, and the last C of Inception-ResNet-v2 has another before it.
    """
    spec = get_spec(name, num_classes=10)
    edits = {}
    if spec.family not in ("vgg", "highway") and hasattr(spec, "depths"):
        few = {"densenet": (2,) * 4, "inception_resnet": (1, 1, 2)}.get(spec.family, (1, 2, 1, 1))
        edits |= {"depths": tuple(min(pair) for pair in zip(few, spec.depths, strict=False))}
    edits |= {"hidden": 64} if spec.family in ("alexnet", "vgg") else {}
    return spec.edit(**edits)


def image_for(name: str, batch: int = 2) -> torch.Tensor:
    """A batch of noise of the smallest size from 32 pixels on that the network takes."""
    spec = spec_for(name)
    size = nearest_size(spec, 32)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, spec.in_channels, size, size, generator=generator, dtype=torch.float64)


def network_for(name: str) -> Classifier:
    """The network in float64 and eval mode, every statistic and bias drawn at random."""
    torch.manual_seed(0)
    return randomised(build(spec_for(name)))
