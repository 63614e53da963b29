"""Randomness of corruptions: a pure function of (seed, image, corruption, severity)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from residua.data.corruptions.names import CORRUPTIONS
from residua.data.random import corruption_uniforms

Floats = npt.NDArray[np.float64]


class Draws:
    """Random numbers for the images of a batch; each call continues where the last ended.

    Args:
        name: the corruption.
        severity: 1 to 5.
        indices: (B,), what sets the images apart: their positions in the split.
        seed: of all.
    """

    def __init__(self, name: str, severity: int, indices: npt.ArrayLike, seed: int) -> None:
        self._key = 8 * CORRUPTIONS.index(name) + severity
        self._indices, self._seed, self._next = np.asarray(indices), seed, 0

    def __len__(self) -> int:
        return len(self._indices)

    def uniform(self, *shape: int) -> Floats:
        """Return float64 (B, *shape), above 0 and below 1."""
        count = math.prod(shape)
        numbers = corruption_uniforms(self._seed, self._key, self._indices, self._next, count)
        self._next += count
        return numbers.reshape(len(self._indices), *shape)

    def between(self, low: float, high: float, *shape: int) -> Floats:
        """Return float64 (B, *shape), between two ends."""
        numbers: Floats = low + (high - low) * self.uniform(*shape)
        return numbers

    def normal(self, *shape: int) -> Floats:
        """Return float64 (B, *shape) of mean 0 and deviation 1."""
        from scipy.special import ndtri  # late: of all that reads data, corruptions alone need it

        numbers: Floats = ndtri(self.uniform(*shape))
        return numbers

    def integers(self, low: int, high: int, *shape: int) -> npt.NDArray[np.int64]:
        """Return int64 (B, *shape), from `low` to below `high`."""
        return np.floor(low + (high - low) * self.uniform(*shape)).astype(np.int64)
