"""The probability of one of several labels from its logit; without torch, for servers that do without it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def sigmoid(logits: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-x)) in double precision, without overflow."""
    small = np.exp(-np.abs(logits))
    result: Doubles = np.where(logits >= 0, 1, small) / (1 + small)
    return result
