"""Training a CIFAR ResNet on small images the plain PyTorch way: the peer of the training benchmarks.

The network of He 2015, section 4.2 (option A), torchvision's ImageFolder and transforms, torch's DataLoader, SGD with
Nesterov momentum; fp32, torch's default memory layout, eager. Nothing here comes from Residua.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Unit(nn.Module):
    """Two 3×3 convolutions and a shortcut that subsamples and appends zero channels."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.new = stride, channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.stride > 1 or self.new:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))
        return F.relu(out + x, inplace=True)


class ResNet(nn.Module):
    """(B, 3, 32, 32) -> (B, num_classes), 6 · blocks + 2 layers."""

    def __init__(self, num_classes: int = 10, blocks: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [16] * blocks + [32] * blocks + [64] * blocks
        self.units = nn.Sequential(
            *(Unit(a, b, 1 if a == b else 2) for a, b in zip([16, *widths], widths, strict=False))
        )
        self.fc = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        features = self.units(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return self.fc(F.adaptive_avg_pool2d(features, 1).flatten(1))


def train_loader(folder: Path, batch_size: int, workers: int, side: int = 32) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return the tutorials' loader of a folder of class folders: a crop, flip, to tensor, normalise.

    Images of 32 pixels are padded and cropped, others cropped at a random size and resized to `side`.
    """
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4) if side == 32 else transforms.RandomResizedCrop(side),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(
        ImageFolder(str(folder), transform),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def test_loader(folder: Path, batch_size: int, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return the loader for evaluation."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    return DataLoader(ImageFolder(str(folder), transform), batch_size, num_workers=workers)


def sgd(model: nn.Module, learning_rate: float = 0.1, weight_decay: float = 1e-4) -> torch.optim.SGD:
    """Return He 2015's optimizer, with Nesterov momentum as is usual now."""
    return torch.optim.SGD(model.parameters(), learning_rate, momentum=0.9, weight_decay=weight_decay, nesterov=True)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> float:
    """Do one training step and return its loss."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(model: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> float:
    """Return the fraction of images that the model, in evaluation mode, classifies correctly."""
    model.eval()
    correct = count = 0
    for images, labels in loader:
        correct += int((model(images).argmax(1) == labels).sum())
        count += len(labels)
    model.train()
    return correct / count
