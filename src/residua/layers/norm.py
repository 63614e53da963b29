"""Normalisation of one position's responses by those of the neighbouring maps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class LocalResponseNorm(nn.Module):
    """y_c = x_c / (k + alpha · sum of x_j² over the `size` maps around c)^beta (Krizhevsky 2012, section 3.3).

    `alpha` is the paper's and multiplies the sum. Caffe and torch divide theirs by `size`: alpha here is theirs over
    `size`. Beyond the first and the last map the sum counts zeros. Shapes: (B, C, H, W) -> the same.

    torch's own layer knows no bfloat16 on CPUs, and takes 2 to 3 times as long.
    """

    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        channels, before = x.shape[1], self.size // 2
        squares = F.pad(x * x, (0, 0, 0, 0, before, self.size - 1 - before))
        total = squares[:, :channels]
        for shift in range(1, self.size):
            total = total + squares[:, shift : shift + channels]
        return x * (self.k + self.alpha * total).pow(-self.beta)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
