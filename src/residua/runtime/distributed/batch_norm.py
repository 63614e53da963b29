"""Batch normalisation by the statistics of the whole batch, whose images lie in several processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _Normalisation(torch.autograd.Function):
    """(x - mean) / sqrt(variance + epsilon), with mean and biased variance over all processes.

    Inputs: x (B, C, H, W), epsilon. Outputs: the same shape; mean (C,), variance (C,) and how many values each channel
    has in all, a scalar. Slices may differ in size: each process counts by its number of values.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
        own = torch.cat([mean, variance, mean.new_tensor([values.numel() / values.shape[1]])])
        every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(every, own)
        table = torch.stack(every)
        means, variances = table[:, :-1].chunk(2, 1)
        counts = table[:, -1:]
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        # Chan 1983: variances within the slices, and between them. A difference of squares would lose digits.
        variance = ((variances + (means - mean).square()) * counts).sum(0) / total
        scale = torch.rsqrt(variance + epsilon)
        normal = (values - mean[:, None, None]) * scale[:, None, None]
        ctx.save_for_backward(normal, scale, total)
        ctx.mark_non_differentiable(mean, variance, total)
        return normal, mean, variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        normal, scale, total = ctx.saved_tensors
        gradient = gradients[0].to(normal.dtype)
        sums = torch.stack([gradient.sum((0, 2, 3)), (gradient * normal).sum((0, 2, 3))])
        dist.all_reduce(sums)
        shift, slope = (sums / total)[:, :, None, None]
        dx = (gradient - shift - normal * slope) * scale[:, None, None]
        return dx.to(gradients[0].dtype), None


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes while training (Ioffe 2015, algorithm 1).

    torch's `SyncBatchNorm` refuses CPUs. State dict and evaluation are those of `nn.BatchNorm2d`.
    Shapes: (B, C, H, W) -> the same; B may differ between processes.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or dist.get_world_size() == 1:
            return super().forward(x)
        normal, mean, variance, total = _Normalisation.apply(x, self.eps)
        self._follow(mean, variance, total)
        if self.weight is not None:
            normal = normal * self.weight[:, None, None]
        if self.bias is not None:
            normal = normal + self.bias[:, None, None]
        out: Tensor = normal.to(x.dtype)
        return out

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, total: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance * (total / (total - 1)), rate)


def synchronise(model: nn.Module) -> int:
    """Let every batch normalisation of `model` take its statistics over all processes; return how many do.

    Parameters and state dict stay what they were: only classes change.
    """
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    for norm in norms:
        norm.__class__ = SyncedBatchNorm2d
    return len(norms)
