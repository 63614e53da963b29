"""Small arrays on their way to a device, which goes on computing meanwhile."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch


def to_device(values: npt.NDArray[Any] | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on `device`; nobody waits until the device has done what was asked of it before.

    The system copies what lies in ordinary memory before the call returns, so the array may be changed at once.
    """
    tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(values)
    return tensor.to(device, non_blocking=True)
