"""Clouds: a plasma fractal."""

from __future__ import annotations

import numpy as np

from residua.data.corruptions.draws import Draws, Floats


def plasma(draws: Draws, side: int, decay: float) -> Floats:
    """Return float64 (B, S, S) from 0 to 1, a plasma fractal by the diamond-square method, periodic.

    Args:
        draws: its randomness.
        side: S, a power of two.
        decay: by how much the squared roughness falls from one scale to half of it: more is smoother.
    """
    heights = np.zeros((len(draws), side, side))
    step, roughness = side, 100.0

    def rough(sums: Floats) -> Floats:
        moved: Floats = sums / 4 + roughness * draws.between(-roughness, roughness, *sums.shape[1:])
        return moved

    while step >= 2:
        half = step // 2
        corners = heights[:, ::step, ::step]
        sums = corners + np.roll(corners, -1, axis=1)
        heights[:, half::step, half::step] = rough(sums + np.roll(sums, -1, axis=2))
        middles = heights[:, half::step, half::step]
        across = middles + np.roll(middles, 1, axis=1) + corners + np.roll(corners, -1, axis=2)
        heights[:, ::step, half::step] = rough(across)
        down = middles + np.roll(middles, 1, axis=2) + corners + np.roll(corners, -1, axis=1)
        heights[:, half::step, ::step] = rough(down)
        step, roughness = half, roughness / decay
    heights -= heights.min(axis=(1, 2), keepdims=True)
    shares: Floats = heights / heights.max(axis=(1, 2), keepdims=True)
    return shares
