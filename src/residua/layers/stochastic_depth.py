"""Stochastic depth: training drops whole branches (Huang 2016, arXiv 1603.09382)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """b · branch / (1 − probability) in training, b = 0 with `probability`, else 1; the branch itself in evaluation.

    The paper (equations 2 and 5) takes b · branch in training and (1 − probability) · branch in evaluation. Dividing
    instead leaves evaluation, and with it every export, the plain network; torchvision's operator does so too. Draws
    come from torch's default generator, which training seeds for each step, as dropout's do. A dropped branch is
    computed all the same: its statistics of batch normalisation go on, and its gradients are 0.

    Shapes: (B, C, h, w) -> the same.

    Args:
        probability: of dropping the branch.
        mode: "batch", one draw a forward pass (the paper), or "row", one for each image (torchvision, timm).
    """

    def __init__(self, probability: float, mode: Literal["batch", "row"]) -> None:
        super().__init__()
        self.probability, self.mode = probability, mode

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or not self.probability:
            return branch
        draws = len(branch) if self.mode == "row" else 1
        kept = torch.empty((draws, 1, 1, 1), dtype=branch.dtype, device=branch.device)
        return branch * kept.bernoulli_(1 - self.probability).div_(1 - self.probability)

    def extra_repr(self) -> str:
        return f"probability={self.probability:.4g}, mode={self.mode!r}"
