"""Runs and folders of images whose outcome is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from residua.data.open import open_dataset
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.write import save_bundle

# A colour is recognised by a network that weighs the three channels: class i is channel i.
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SIDE = 8


def paint(path: Path, colour: tuple[int, int, int], side: int = SIDE) -> Path:
    """Write a picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), colour).save(path)
    return path


def colour_folder(folder: Path, wrong: Sequence[tuple[str, str]] = (), count: int = 10) -> Path:
    """Write `count` pictures a class, and for each (class, colour) in `wrong` one that shows another colour."""
    for name, colour in COLOURS.items():
        for index in range(count):
            paint(folder / name / f"{index:02}.png", colour)
    for index, (name, colour) in enumerate(wrong):
        paint(folder / name / f"wrong{index}.png", COLOURS[colour])
    return folder


def colour_run(
    folder: Path, classes: Sequence[str] = tuple(COLOURS), data: Any = None, described: Any = None, **changes: Any
) -> Path:
    """Save a run whose network recognises the colours, exactly; `classes` may come in any order, and hold others."""
    spec = get_spec(
        "cifar_resnet8", widths=(3, 3, 3), stem_width=3, num_classes=len(classes), shortcut="pad", input_size=SIDE
    )
    model = build(spec).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith(("conv1.weight", "conv2.weight")):
                tensor.zero_()
        # The stem passes the channels on, the branches are silent, the shortcuts are the identity.
        for channel in range(3):
            model.state_dict()["conv1.weight"][channel, channel, 1, 1] = 1.0
        rows = dict(zip(COLOURS, 4 * torch.eye(3), strict=True))
        model.state_dict()["fc.weight"].copy_(torch.stack([rows.get(name, torch.zeros(3)) for name in classes]))
        model.state_dict()["fc.bias"].zero_()
    arguments: dict[str, Any] = {
        "tensors": model.state_dict(),
        "spec": spec,
        "classes": classes,
        "preprocess": PreprocessSpec(SIDE, SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        "metrics": {},
        "data": described or ({} if data is None else open_dataset(data, val_fraction=0.2, seed=4).describe(full=True)),
        "recipe": {"name": "fast", "epochs": 2, "augment": {"flip": True}},
    }
    save_bundle(folder, **(arguments | changes))
    return folder


def noise(side: int, seed: int = 0) -> Image.Image:
    """A picture of random pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))
