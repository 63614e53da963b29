"""Blur: out of focus, through frosted glass, along a motion, while zooming."""

from __future__ import annotations

import functools

import numpy as np
import torch

from residua.data.corruptions.draws import Draws, Floats
from residua.data.corruptions.planes import (
    Bytes,
    as_bytes,
    both_axes,
    gaussian_blur,
    levels,
    motion_blurred,
    zooming,
)


def defocus_blur(images: Bytes, constant: tuple[float, float], draws: Draws) -> Bytes:
    """Convolve with a disk of a radius, whose edge is softened; beyond the edges the image is mirrored.

    Float32: within 1e-6 of the range of the same sum in float64.
    """
    kernel = _disk(*constant)
    reach = kernel.shape[0] // 2
    planes = torch.from_numpy(levels(images).astype(np.float32))
    batch, channels, height, width = planes.shape
    padded = torch.nn.functional.pad(planes, (reach, reach, reach, reach), mode="reflect")
    blurred = torch.nn.functional.conv2d(
        padded.view(batch * channels, 1, height + 2 * reach, width + 2 * reach), torch.from_numpy(kernel)[None, None]
    )
    return as_bytes(blurred.view(batch, channels, height, width).numpy())


def glass_blur(images: Bytes, constant: tuple[float, int, int], draws: Draws) -> Bytes:
    """Apply a blur, let each pixel take the colour of one nearby, and blur again.

    The published loop goes from the last pixel to the first. Its exchange of two array views copies: a pixel takes
    the colour that its neighbour has by then, and the neighbour keeps its own. So it is here.
    """
    sigma, reach, passes = constant
    blurred = as_bytes(gaussian_blur(levels(images), sigma, truncate=4, mirrored=False))
    batch, channels, height, width = blurred.shape
    flat = blurred.reshape(batch, channels, height * width)
    for _ in range(passes):
        flat = np.take_along_axis(flat, _taken_from(draws, height, width, reach)[:, None], axis=2)
    shuffled = flat.reshape(batch, channels, height, width)
    return as_bytes(gaussian_blur(levels(shuffled), sigma, truncate=4, mirrored=False))


def motion_blur(images: Bytes, constant: tuple[int, float], draws: Draws) -> Bytes:
    """Average along a line of a random angle, from -45 to 45 degrees; rounded to the nearest level."""
    radius, sigma = constant
    planes = np.ascontiguousarray(images, np.float64)
    angles = draws.between(-45, 45, 1)[:, 0].tolist()
    blurred = [motion_blurred(image, radius, sigma, angle) for image, angle in zip(planes, angles, strict=True)]
    return np.floor(np.stack(blurred) + 0.5).astype(np.uint8)


def zoom_blur(images: Bytes, constant: tuple[float, float], draws: Draws) -> Bytes:
    """Average the image with itself zoomed by factors from 1 up to below an end."""
    factors = np.arange(1, *constant)
    # Single precision, as published; it takes half the time.
    planes = levels(images).astype(np.float32)
    height, width = planes.shape[2:]
    total = planes.copy()
    for factor in factors.tolist():
        rows, columns = (zooming(side, factor).astype(np.float32) for side in (height, width))
        total += np.matmul(np.matmul(rows, planes), columns.T)
    return as_bytes(total / (len(factors) + 1))


def _taken_from(draws: Draws, height: int, width: int, reach: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return int64 (B, H * W): the pixel whose colour, before the pass, each pixel has after it."""
    rows = np.arange(height - reach, reach, -1)
    columns = np.arange(width - reach, reach, -1)
    # The published order of the draws: first to the side, then down.
    moves = draws.integers(-reach, reach, len(rows), len(columns), 2)
    own = (rows[:, None] * width + columns).reshape(-1)
    batch = len(moves)
    near = (own + (moves[..., 1] * width + moves[..., 0]).reshape(batch, -1)).astype(np.int64)
    everywhere = np.broadcast_to(np.arange(height * width), (batch, height * width))
    step = everywhere.copy()
    step[:, own] = near
    # The order of visits falls, but only among the pixels that are visited: a greater one was visited before.
    visited = np.zeros(height * width, bool)
    visited[own] = True
    before = (step > everywhere) & visited[step]
    # A chain of pixels that were visited before leads to one that took an old colour; halve it until all are there.
    follow = np.where(before, step, everywhere)
    while True:
        further = np.take_along_axis(follow, follow, axis=1)
        if np.array_equal(further, follow):
            return np.take_along_axis(step, follow, axis=1)
        follow = further


@functools.lru_cache(maxsize=16)
def _disk(radius: float, softness: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the kernel, float32 (2R + 1, 2R + 1): a disk, blurred by a small Gaussian.

    The disk stands in a square of 17 pixels, of larger radii in one that it touches, where the blur mirrors.
    """
    half, side = (8, 3) if radius <= 8 else (int(radius), 5)
    places = np.arange(-half, half + 1)
    disk = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float64)
    disk /= disk.sum()
    offsets = np.arange(side) - side // 2
    weights = np.exp(-(offsets**2) / (2 * softness**2))
    weights /= weights.sum()
    reach = side // 2
    line: Floats = np.zeros((2 * half + 1, 2 * half + 1))
    for offset, weight in zip(offsets.tolist(), weights.tolist(), strict=True):
        taps = np.abs(np.arange(2 * half + 1) + offset)
        line[np.arange(2 * half + 1), np.minimum(taps, 4 * half - taps)] += weight
    softened = both_axes(disk, line, line)
    # Of a small disk only the middle is not 0.
    kept = min(half, int(radius) + reach)
    return softened[half - kept : half + kept + 1, half - kept : half + kept + 1].astype(np.float32)
