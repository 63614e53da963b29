"""Frost on a window, drawn: the published corruption pastes photographs of frost, which are not ours to ship."""

from __future__ import annotations

import math

import numpy as np

from residua.data.corruptions.draws import Draws, Floats
from residua.data.corruptions.planes import motion_blurred
from residua.data.corruptions.plasma import plasma

# The published photographs: mean of red, green and blue, deviation within one, and spread of their mean levels.
_MEANS = (146.0, 167.0, 179.0)
_DEVIATION, _SPREAD = 27.0, 40.0
_NEEDLES = ((18, 6.0), (10, 4.0), (6, 2.0))  # radius and sigma of the blur that draws them out, pixels


def frost_layers(draws: Draws, height: int, width: int) -> Floats:
    """Return float64 (B, 3, H, W), levels from 0 to 255: ice on a window.

    Ridges of a plasma fractal are mixed with needles: bright points drawn out along three random directions. Mean
    colour and contrast are those of the published photographs; their shapes, of ferns and of flakes, are not.
    """
    side = 2 ** math.ceil(math.log2(max(height, width)))
    area = (slice(None), slice(height), slice(width))
    ground = plasma(draws, side, 1.9)[area]
    ridges = (1 - np.abs(2 * plasma(draws, side, 1.7)[area] - 1)) ** 4
    needles = np.zeros_like(ground)
    scale = min(1.0, min(height, width) / 224)
    for radius, sigma in _NEEDLES:
        points = (draws.uniform(height, width) < 0.02).astype(np.float64)
        angles = draws.between(0, 360, 1)[:, 0].tolist()
        reach = max(round(radius * scale), 2)
        needles += np.stack(
            [
                motion_blurred(each[None], reach, max(sigma * scale, 1), angle)[0]
                for each, angle in zip(points, angles, strict=True)
            ]
        )
    needles = np.minimum(needles * 6, 1)
    ice = 0.45 * ground + 0.6 * ridges + 0.35 * needles
    ice -= ice.mean(axis=(1, 2), keepdims=True)
    ice /= np.maximum(ice.std(axis=(1, 2), keepdims=True), 1e-6)
    levels = _DEVIATION * ice + draws.between(-_SPREAD, _SPREAD, 1, 1)
    layers: Floats = np.clip(levels[:, None] + np.array(_MEANS)[:, None, None], 0, 255)
    return layers
