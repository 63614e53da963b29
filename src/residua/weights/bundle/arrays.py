"""Numbers for each pixel in a bundle: tensors beside the weights, named after the field of the preprocessing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from residua.specs.preprocess import PreprocessSpec

PREFIX = "preprocess."


def tensors_of(preprocess: PreprocessSpec) -> dict[str, Tensor]:
    """Return the arrays of a preprocessing as float32 tensors, "preprocess.mean_image" of (H, W, 3) for one."""
    return {f"{PREFIX}{name}": torch.from_numpy(np.array(each.view())) for name, each in preprocess.arrays.items()}


def split_stored(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, bytes]]:
    """Return the weights of a bundle's tensors, and the bytes of its preprocessing's arrays by field."""
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}
    others = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    return weights, {name: tensor.contiguous().numpy().tobytes() for name, tensor in others.items()}
