"""Photos for the benchmarks of shards: the user's own, or some made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

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
