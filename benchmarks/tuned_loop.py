"""The same training loop as in `peer_loop.py`, tuned by hand: the other peer of `train_speed.py`.

All images are decoded once and held in memory as bytes; crops and flips are made of whole batches, by indexing; nothing
is copied between processes. Memory is channels-last, and bf16 autocast is switched on where the caller asks for it.
Nothing here comes from Residua.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class InMemory:
    """Images of a folder of class folders, uint8 (N, 3, H, W), with endless shuffled batches of them.

    Args:
        folder: as ImageFolder takes it.
        side: of the images of a batch, pixels.
        held: side of the images in memory; those of 32 pixels are held as they are, and padded when they are cropped.
        batch: images per batch.
    """

    def __init__(self, folder: Path, side: int, held: int, batch: int) -> None:
        resize = v2.Compose([v2.PILToTensor(), v2.Resize(held, antialias=True), v2.CenterCrop(held)])
        pairs = list(ImageFolder(str(folder), resize))
        images = torch.stack([image for image, _ in pairs])
        pad = 4 if held == side else 0
        self.images = F.pad(images, (pad, pad, pad, pad))
        self.labels = torch.tensor([label for _, label in pairs])
        self.side, self.batch = side, batch
        self.mean = 255 * torch.tensor(MEAN).view(1, 3, 1, 1)
        self.scale = 1 / (255 * torch.tensor(STD).view(1, 3, 1, 1))

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (B, 3, side, side) in channels-last fp32, normalised, and (B,)."""
        while True:
            for chosen in torch.randperm(len(self.labels)).split(self.batch):
                if len(chosen) == self.batch:
                    yield self._cropped(chosen), self.labels[chosen]

    def _cropped(self, chosen: Tensor) -> Tensor:
        room = self.images.shape[-1] - self.side + 1
        y, x = (torch.randint(room, (len(chosen), 1)) for _ in "yx")
        steps = torch.arange(self.side)
        across = torch.where(torch.rand(len(chosen), 1) < 0.5, steps, steps.flip(0)) + x
        # Indexing puts the channels last.
        pixels = self.images[chosen[:, None, None], :, (y + steps)[:, :, None], across[:, None, :]]
        return (pixels.permute(0, 3, 1, 2) - self.mean) * self.scale


def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, *, bf16: bool) -> Tensor:
    """Do one training step; the loss stays where it is."""
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    if not math.isfinite(loss.item()):
        raise FloatingPointError("the loss of the tuned loop is not finite")
    return loss


def sgd(model: nn.Module) -> torch.optim.SGD:
    """Return the optimizer of `peer_loop.py`, fused: one call for all parameters."""
    return torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4, nesterov=True, fused=True)
