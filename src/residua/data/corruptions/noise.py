"""Noise: Gaussian, of photons, and of dead pixels."""

from __future__ import annotations

import functools
import math

import numpy as np

from residua.data.corruptions.draws import Draws, Floats
from residua.data.corruptions.planes import Bytes, as_bytes, levels


def gaussian_noise(images: Bytes, scale: float, draws: Draws) -> Bytes:
    """Add normal noise of a deviation, in fractions of the range, to each value of (B, 3, H, W)."""
    return as_bytes(levels(images) + scale * draws.normal(*images.shape[1:]))


def shot_noise(images: Bytes, photons: int, draws: Draws) -> Bytes:
    """Replace each value by a Poisson count of photons, of which white has so many on average."""
    table, widths = _counts(photons)
    # One sorted table for all 256 levels: level n lies between n and n + 1.
    places = np.searchsorted(table, images + draws.uniform(*images.shape[1:]), side="left")
    counts = places - widths * images.astype(np.int64)
    return as_bytes(np.minimum(counts, photons) / photons)


def impulse_noise(images: Bytes, amount: float, draws: Draws) -> Bytes:
    """Set a share of the values to black or white, equally often."""
    changed = draws.uniform(*images.shape[1:]) <= amount
    white = draws.uniform(*images.shape[1:]) <= 0.5
    return np.where(changed, np.where(white, np.uint8(255), np.uint8(0)), images)


@functools.lru_cache(maxsize=16)
def _counts(photons: int) -> tuple[Floats, int]:
    """Return the distribution functions of the counts of all levels, one after the other, and the length of each.

    That of level n stands at n + P(count <= k), k from 0: the first entry at or above n + u is the quantile of u.
    """
    most = photons + math.ceil(12 * math.sqrt(photons)) + 12
    counts = np.arange(most)
    logarithms = np.array([math.lgamma(count + 1) for count in counts])
    means = photons * (np.arange(1, 256) / 255)[:, None]
    masses = np.exp(counts * np.log(means) - means - logarithms)
    table = np.ones((256, most))
    table[1:] = np.minimum(np.cumsum(masses, axis=1), 1)
    # The end is closed, so that a draw near 1 stays within its level.
    table[:, -1] = 1
    return (table + np.arange(256)[:, None]).ravel(), most
