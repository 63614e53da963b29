"""A run that classifies digits, made in a second: random features, and a head fitted by least squares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from residua.data.open import open_dataset
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.resize import apply_uint8
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.write import save_bundle

SIDE = 16
PREPROCESS = PreprocessSpec(SIDE, SIDE, mean=(0.3, 0.3, 0.3), std=(0.35, 0.35, 0.35))


def digits_run(
    folder: Path, name: str = "cifar_resnet8", preprocess: PreprocessSpec = PREPROCESS, **bundle: Any
) -> Path:
    """Save a run whose network, of the family of CIFAR's ResNets, classifies some 90% of the digits."""
    dataset = open_dataset("digits")
    spec = get_spec(name, num_classes=10, input_size=preprocess.height)
    torch.manual_seed(0)
    model = build(spec).eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            # As after training: none of the factors is 0 or 1, and folding them matters.
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.uniform_(-0.2, 0.2)
            norm.momentum = None
    train = dataset.splits["train"]
    pixels = np.stack([apply_uint8(train.images.read(i), preprocess) for i in range(len(train))])
    images = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), preprocess)
    with torch.no_grad():
        model.train()(images[:300])
        head, model.fc = model.fc, nn.Identity()
        features = model.eval()(images)
        model.fc = head
        wanted = 8 * nn.functional.one_hot(torch.from_numpy(train.labels), 10).float()
        extended = torch.cat([features, torch.ones(len(features), 1)], 1)
        solution = torch.linalg.lstsq(extended, wanted, driver="gelsd").solution
        model.fc.weight.copy_(solution[:-1].T)
        model.fc.bias.copy_(solution[-1])
    save_bundle(
        folder,
        tensors=model.state_dict(),
        spec=spec,
        classes=dataset.classes,
        preprocess=preprocess,
        metrics={},
        data=dataset.describe(),
        recipe=None,
        **bundle,
    )
    return folder
