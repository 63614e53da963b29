"""A tiny run to damage: everything that a real one has, in a file of some kilobytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.write import save_bundle

CLASSES = ("cat", "dog", "a bird")
PREPROCESS = PreprocessSpec(16, 16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
DATA = {"given": "digits", "hash": "0" * 64, "seed": 3}
RECIPE = {"name": "fast", "epochs": 3, "augment": {"flip": True, "scale": (0.25, 1.0)}}


def tiny_spec(**edits: Any) -> Any:
    """A network of some thousand parameters."""
    return get_spec("cifar_resnet8", **({"widths": (4, 4, 8), "stem_width": 4, "num_classes": 3} | edits))


def tiny_model(**edits: Any) -> nn.Module:
    """The network, its batch-norm statistics away from their initial values."""
    torch.manual_seed(0)
    model = build(tiny_spec(**edits))
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.uniform_(0.5, 1.5)
    return model.eval()


def save_tiny(folder: Path, model: nn.Module | None = None, **changes: Any) -> Path:
    """Save the tiny network; `changes` replace arguments of save_bundle."""
    model = model or tiny_model()
    arguments: dict[str, Any] = {
        "tensors": model.state_dict(),
        "spec": model.spec,
        "classes": CLASSES,
        "preprocess": PREPROCESS,
        "metrics": {"top1": 0.5, "top1_interval": (0.4, 0.6)},
        "data": DATA,
        "recipe": RECIPE,
    }
    return save_bundle(folder, **(arguments | changes))
