"""What a training step sends to a device never waits for it, and nothing is read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from residua.data.augment import Augment
from residua.data.preprocess.normalise import normalise
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import default_preprocess

SIDE, COUNT = 16, 8


class Copies(TorchDispatchMode):
    """Notes copies to the device that wait for it, and numbers that are read from it. "meta" stands for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.waits = 0, list[str]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.ops.aten._to_copy.default and str(kwargs.get("device", "")) == "meta":
            self.sent += 1
            if not kwargs.get("non_blocking"):
                self.waits.append("a copy")
        if "local_scalar" in str(function) or function is torch.ops.aten.nonzero.default:
            self.waits.append(str(function))
        return function(*args, **kwargs)


def test_a_copy_that_waits_is_noticed() -> None:
    with Copies() as copies:
        torch.from_numpy(np.zeros(3)).to("meta")
    assert copies.waits == ["a copy"]


@pytest.mark.parametrize(
    "spec",
    [
        AugmentSpec(crop="pad", flip=True),
        AugmentSpec(flip=True),
        AugmentSpec(crop="random_resized", flip=True),
        AugmentSpec(flip=True, cutout=4),
        AugmentSpec(flip=True, color_jitter=0.4),
        AugmentSpec(brightness=(0.5, 1.5), mixup=1.0),
        AugmentSpec(cutmix=1.0),
    ],
)
def test_a_batch_is_made_without_waiting(spec: AugmentSpec) -> None:
    preprocess = default_preprocess(SIDE)
    images = torch.empty(COUNT, SIDE, SIDE, 3, dtype=torch.uint8, device="meta").permute(0, 3, 1, 2)
    labels = torch.zeros(COUNT, dtype=torch.int64, device="meta")
    with Copies() as copies:
        made, _ = Augment(spec, 3, preprocess)(images, labels, np.arange(COUNT), 0, 1)
        values = normalise(made, preprocess, channels_last=True)
    assert copies.sent > 0
    assert copies.waits == []
    assert values.shape == (COUNT, 3, SIDE, SIDE)
