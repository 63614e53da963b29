"""Golden images, the same for every export, kept beside it with eager's answers: it can be proven without its run.

They are patterns, not photos: noise of every coarseness and contrast, the ends of the range, ramps. Whatever computes
a layer differently shows on them. How often answers on photos change does not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from residua._base.errors import Damaged
from residua._base.files import read_regular
from residua.data.decode import Pixels

COUNT = 32
_SEED = 20151210  # the day on which "Deep Residual Learning" was published
_LARGEST_BYTES = 8 << 30


@dataclass(frozen=True, eq=False)
class Golden:
    """Golden images and eager's answers.

    Attributes:
        pixels: uint8 (32, H, W, 3), of the size that the network receives.
        expected: float32 (32, K), what the graph should give.
    """

    pixels: Pixels
    expected: Tensor

    def write(self, path: Path) -> None:
        """Write both into a safetensors file."""
        tensors = {"pixels": torch.from_numpy(self.pixels), "expected": self.expected.contiguous()}
        path.write_bytes(safetensors.torch.save(tensors, {"residua": json.dumps({"seed": _SEED})}))

    @classmethod
    def read(cls, path: Path) -> Golden:
        """Undo `write`.

        Raises:
            Damaged: the file is absent, or no such file.
        """
        try:
            tensors = safetensors.torch.load(read_regular(path, _LARGEST_BYTES))
            return cls(tensors["pixels"].numpy(), tensors["expected"])
        except (safetensors.SafetensorError, KeyError) as error:
            raise Damaged(path, f"it holds no golden images ({error})") from None


def golden_pixels(size: tuple[int, int]) -> Pixels:
    """Return the golden images of a size: uint8 (32, H, W, 3), the same on every machine."""
    height, width = size
    generator = np.random.Generator(np.random.PCG64(_SEED))
    images = np.empty((COUNT, height, width, 3), np.uint8)
    images[0], images[1] = 0, 255
    images[2] = (np.arange(width) * 255 // max(width - 1, 1))[None, :, None]
    images[3] = (np.arange(height) * 255 // max(height - 1, 1))[:, None, None]
    for index in range(4, COUNT):
        cells = 1 << (index % 7)  # 1, 2, 4, … 64 on a side
        middle, reach = int(generator.integers(0, 256)), int(generator.integers(16, 256))
        levels = generator.integers(0, 256, (cells, cells, 3))
        levels = np.clip(middle + (levels - 128) * reach // 128, 0, 255)
        rows, columns = (np.arange(side) * cells // side for side in (height, width))
        images[index] = levels[rows][:, columns]
    return images
