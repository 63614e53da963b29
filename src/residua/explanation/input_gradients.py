"""Methods that differentiate a class's logit with respect to the pixels: integrated gradients and SmoothGrad."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residua._base.errors import InputError, at_least_one
from residua.explanation.attribution import (
    Attribution,
    checked,
    evaluating,
    groups,
    logits_of,
    scores,
    settled,
)

AT_ONCE = 32
"""Images per pass through the network."""


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None = None,
    /,
    *,
    baseline: Tensor | float = 0.0,
    steps: int = 50,
    at_once: int = AT_ONCE,
) -> Attribution:
    """Compute integrated gradients: (x − x') ⊙ ∫ ∂y/∂x (x' + α (x − x')) dα over α from 0 to 1.

    Sundararajan et al. 2017, equation 1. The integral is a Gauss-Legendre sum of `steps` gradients.

    Args:
        model: (B, C, H, W) -> logits (B, K).
        images: (B, C, H, W), as the network sees them.
        targets: (B,) int64 classes; by default the predicted.
        baseline: x', a number or a tensor that broadcasts to an image. 0 is the mean colour; `black` is black.
        steps: gradients along the path.
        at_once: images per pass, at least the batch.

    Returns:
        values (B, C, H, W); maps (B, H, W): the positive part of their sum over the channels; delta (B,): the sum of
        the values less y(x) − y(x'), its limit for many steps (completeness, proposition 1).

    Raises:
        InputError: a class that the network does not have; `steps` or `at_once` below 1.
    """
    at_least_one(steps=steps, at_once=at_once)
    images = checked(images)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    with evaluating(model):
        logits = logits_of(model, images)
        targets = settled(targets, logits)
        start = as_images(baseline, images)
        way, total = images - start, torch.zeros_like(images)
        points = (start + float((node + 1) / 2) * way for node in nodes)
        for weight, gradient in zip(weights, _gradients(model, points, targets, at_once), strict=True):
            total += float(weight / 2) * gradient
        rise = scores(logits, targets) - scores(logits_of(model, start), targets)
    values = way * total
    delta = values.sum((1, 2, 3)) - rise
    return Attribution(F.relu(values.sum(1)), values, targets, logits, delta=delta)


def smooth_grad(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None = None,
    /,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    at_once: int = AT_ONCE,
) -> Attribution:
    """Compute SmoothGrad: the mean of ∂y/∂x over copies of the image with Gaussian noise added.

    Smilkov et al. 2017, section 3. The draws are the same for every image, so that the result for an image does not
    depend on its batch.

    Args:
        model: (B, C, H, W) -> logits (B, K).
        images: (B, C, H, W), as the network sees them.
        targets: (B,) int64 classes; by default the predicted (of the image without noise).
        samples: noisy copies.
        noise: standard deviation as a share of the image's range: σ / (x_max − x_min).
        seed: seed of the draws.
        at_once: images per pass, at least the batch.

    Returns:
        values (B, C, H, W), signed; maps (B, H, W): the sum of their magnitudes over the channels.

    Raises:
        InputError: a class that the network does not have; numbers out of range.
    """
    at_least_one(samples=samples, at_once=at_once)
    if not noise >= 0:
        raise InputError(f"noise={noise}", "a share of the image's range, 0 or more", "Use 0.1 to 0.2")
    images = checked(images)
    with evaluating(model):
        logits = logits_of(model, images)
        targets = settled(targets, logits)
        deviation = noise * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
        noisy = (images + deviation * draw for draw in draws(images, samples, seed))
        total = torch.zeros_like(images)
        for gradient in _gradients(model, noisy, targets, at_once):
            total += gradient
    values = total / samples
    return Attribution(values.abs().sum(1), values, targets, logits)


def draws(images: Tensor, samples: int, seed: int) -> Iterator[Tensor]:
    """Yield standard normal tensors (C, H, W) of the images' type on their device, a pure function of the seed."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        yield torch.randn(images.shape[1:], generator=generator).to(images)


def as_images(baseline: Tensor | float, images: Tensor) -> Tensor:
    """Return a baseline, a number or a tensor that broadcasts, in the images' shape.

    Raises:
        InputError: it does not broadcast.
    """
    try:
        return torch.as_tensor(baseline).detach().to(images).expand_as(images)
    except RuntimeError:
        raise InputError(
            f"a baseline of shape {tuple(torch.as_tensor(baseline).shape)} for images of shape {tuple(images.shape)}",
            "a number, or a tensor that broadcasts to an image (C, H, W)",
            "For a colour give (C, 1, 1)",
        ) from None


def _gradients(model: nn.Module, batches: Iterable[Tensor], targets: Tensor, at_once: int) -> Iterator[Tensor]:
    """Yield ∂ Σ y / ∂x for each batch (B, C, H, W), several per pass, up to `at_once` images."""
    count = len(targets)
    for group in groups(batches, max(1, at_once // count)):
        x = torch.cat(group).requires_grad_()
        score = scores(model(x), targets.repeat(len(group))).sum()
        (gradient,) = torch.autograd.grad(score, x)
        yield from torch.split(gradient, count)
