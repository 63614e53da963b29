"""Weather: snow, frost, fog, and too much light."""

from __future__ import annotations

import math

import numpy as np

from residua.data.corruptions.draws import Draws
from residua.data.corruptions.frost import frost_layers
from residua.data.corruptions.planes import Bytes, as_bytes, both_axes, levels, motion_blurred, zooming
from residua.data.corruptions.plasma import plasma
from residua.specs.preprocess import LUMA


def snow(images: Bytes, constant: tuple[float, float, float, float, int, float, float], draws: Draws) -> Bytes:
    """Whiten the image, and add flakes that fall at a random angle; the layer is added turned around, too."""
    mean, deviation, factor, least, radius, sigma, kept = constant
    height, width = images.shape[2:]
    noise = mean + deviation * draws.normal(height, width)
    flakes = both_axes(noise, zooming(height, factor), zooming(width, factor))
    flakes[flakes < least] = 0
    whole = np.floor(np.clip(flakes, 0, 1) * 255)
    angles = draws.between(-135, -45, 1)[:, 0].tolist()
    fallen = [motion_blurred(layer[None], radius, sigma, angle) for layer, angle in zip(whole, angles, strict=True)]
    layers = np.floor(np.stack(fallen) + 0.5) / 255
    shares = levels(images)
    grey = np.tensordot(np.array(LUMA), shares, axes=(0, 1))[:, None]
    whitened = kept * shares + (1 - kept) * np.maximum(shares, grey * 1.5 + 0.5)
    return as_bytes(whitened + layers + layers[..., ::-1, ::-1])


def frost(images: Bytes, constant: tuple[float, float], draws: Draws) -> Bytes:
    """Mix the image with frost on a window, which is drawn here: see `frost_layers`."""
    of_image, of_frost = constant
    height, width = images.shape[2:]
    mixed = of_image * images + of_frost * frost_layers(draws, height, width)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def fog(images: Bytes, constant: tuple[float, float], draws: Draws) -> Bytes:
    """Add clouds of a plasma fractal, and scale back to the image's greatest level."""
    thickness, decay = constant
    height, width = images.shape[2:]
    shares = levels(images)
    most = shares.max(axis=(1, 2, 3), keepdims=True)
    clouds = plasma(draws, 2 ** math.ceil(math.log2(max(height, width))), decay)[:, None, :height, :width]
    return as_bytes((shares + thickness * clouds) * most / (most + thickness))


def brightness(images: Bytes, added: float, draws: Draws) -> Bytes:
    """Add to the value of each pixel in HSV; hue and saturation stay."""
    shares = levels(images)
    value = shares.max(axis=1, keepdims=True)
    lighter = np.clip(value + added, 0, 1)
    # All channels of a pixel scale with its value; a black one, which has no hue, becomes grey.
    return as_bytes(np.where(value > 0, shares / np.where(value > 0, value, 1), 1) * lighter)
