"""What the benchmarks of shards share: photos made on the spot, turns of two ways, and their report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import machine

SIZES = ((375, 500), (500, 375), (480, 640), (333, 500))


def made_photos(folder: Path, count: int) -> Path:
    """Write `count` JPEG files of two classes with detail at every scale, of the sizes and bytes of photos."""
    random = np.random.default_rng(0)
    for number in range(count):
        height, width = SIZES[number % len(SIZES)]
        total = np.zeros((height, width, 3), np.float32)
        for scale in (4, 16, 64, 256):
            coarse = random.normal(0, 40, (scale, scale, 3)).clip(-128, 127)
            image = Image.fromarray((coarse + 128).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
            total += np.asarray(image, np.float32) - 128
        path = folder / f"class{number % 2}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((total + 128).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return folder


def in_turns(ways: Mapping[str, Callable[[int], float]], seconds: float) -> dict[str, list[float]]:
    """Let the ways take turns until the time is over, three rounds at least; return what each turn gave.

    Args:
        ways: called with the number of the round, from 1; every other round begins with the last of them.
        seconds: of measuring.
    """
    results: dict[str, list[float]] = {name: [] for name in ways}
    until, number = time.monotonic() + seconds, 1
    while number <= 3 or time.monotonic() < until:
        for name in list(ways)[:: 1 if number % 2 else -1]:
            results[name].append(ways[name](number))
        number += 1
    return results


def report(
    speeds: Mapping[str, Sequence[float]],
    *,
    first: str,
    second: str,
    ratio: str,
    least: float,
    wanted: str,
    verdict: str,
    **facts: Any,
) -> dict[str, Any]:
    """Return the result of a benchmark: facts, speeds, and the ratio of the two turns of a round.

    Args:
        speeds: images per second of each turn, by way.
        first, second: the ways whose speeds are divided.
        ratio: the name of the ratio in the result.
        least: its median that is wanted.
        wanted: that in words.
        verdict: the name under which the result states whether it is reached.
        facts: of what was measured.
    """
    ratios = machine.spread([one / other for one, other in zip(speeds[first], speeds[second], strict=True)])
    return {
        **facts,
        "rounds": len(speeds[first]),
        "images_per_second": {name: machine.spread(values) for name, values in speeds.items()},
        ratio: ratios,
        "wanted": wanted,
        verdict: ratios["median"] >= least,
        "machine": machine.describe(),
    }
