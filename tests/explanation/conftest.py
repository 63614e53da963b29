"""A small network that has learnt digits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from residua.data.open import open_dataset
from residua.data.preprocess.normalise import normalise
from residua.families.build import build
from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec

PREPROCESS = PreprocessSpec(16, 16)


@pytest.fixture(scope="session")
def learnt() -> tuple[Classifier, Tensor, Tensor]:
    """The network in evaluation mode, and 24 test images (B, 3, 16, 16) as it sees them, with their classes."""
    torch.manual_seed(1)
    network = build(get_spec("cifar_resnet8", widths=(8, 16, 32), stem_width=8, num_classes=10, input_size=16))
    splits = open_dataset("digits").splits

    def images(name: str) -> tuple[Tensor, Tensor]:
        small = torch.from_numpy(splits[name].images.pixels.transpose(0, 3, 1, 2).copy()).float()
        return normalise(F.interpolate(small, (16, 16), mode="bilinear"), PREPROCESS), torch.from_numpy(
            splits[name].labels
        )

    x, y = images("train")
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    for _ in range(4):
        for chosen in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(network(x[chosen]), y[chosen].long()).backward()
            optimizer.step()
    network.zero_grad()
    x, y = images("test")
    return network.eval(), x[:24], y[:24].long()
