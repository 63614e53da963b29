"""Photos with several labels each: two handwritten digits side by side, labelled with both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from residua.data.open import open_dataset

SHORT: dict[str, Any] = {
    "recipe": "fast",
    "epochs": 3,
    "min_steps": 0,
    "batch_size": 16,
    "image_size": 16,
    "workers": 1,
    "kernels": "eager",
    "device": "cpu",
    "keep": "best",
    "progress": False,
}


def two_digits(folder: Path, train: int = 160, test: int = 40, seed: int = 0) -> Path:
    """Write PHOTOS and labels.csv (path, label, split) into a folder: images of 16 × 16 pixels, every eighth empty."""
    digits = open_dataset("digits", val_fraction=0)
    random = np.random.default_rng(seed)
    (folder / "PHOTOS").mkdir(parents=True, exist_ok=True)
    lines = ["path,label,split"]
    for part, count in (("train", train), ("test", test)):
        split = digits.splits[part]
        for number in range(count):
            canvas = np.zeros((16, 16, 3), np.uint8)
            labels: set[str] = set()
            if number % 8:
                for side, index in enumerate(random.integers(0, len(split), 2).tolist()):
                    canvas[4:12, 8 * side : 8 * side + 8] = split.images.read(index)
                    labels.add(digits.classes[split.labels[index]])
            name = f"{part}{number:03}.png"
            Image.fromarray(canvas).save(folder / "PHOTOS" / name)
            lines.append(f"{name},{';'.join(sorted(labels))},{part}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
