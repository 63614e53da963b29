"""Occlusion: the fall of a logit when a part of the image is covered."""

from __future__ import annotations

from itertools import product
from math import ceil

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
from residua.explanation.input_gradients import AT_ONCE, as_images

_WINDOWS = 8
"""Windows side by side along the shorter side, by default."""


def occlusion(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None = None,
    /,
    *,
    window: int | None = None,
    stride: int | None = None,
    baseline: Tensor | float = 0.0,
    at_once: int = AT_ONCE,
) -> Attribution:
    """Compute occlusion sensitivity: a square moves over the image, and each pixel gets the mean fall of the class's
    logit.

    Zeiler & Fergus 2014, section 4.2; they show the probability, whose fall is tiny where the network is sure.

    Args:
        model: (B, C, H, W) -> logits (B, K).
        images: (B, C, H, W), as the network sees them.
        targets: (B,) int64 classes; by default the predicted.
        window: side of the square, pixels; by default an eighth of the image's shorter side.
        stride: pixels between its positions; by default half of the window. The last one may extend over the border.
        baseline: fills the square, a number or a tensor that broadcasts to an image; 0, the mean
            colour, is the paper's grey.
        at_once: covered images per pass.

    Returns:
        values (B, 1, H, W): the mean of y(x) − y(covered) over the positions that cover the pixel; maps (B, H, W): its
        positive part.

    Raises:
        InputError: a class that the network does not have; a window larger than the image; a stride larger than the
            window, which would leave pixels uncovered.
    """
    images = checked(images)
    height, width = images.shape[-2:]
    window = max(1, min(height, width) // _WINDOWS) if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    at_least_one(window=window, stride=stride, at_once=at_once)
    if window > min(height, width) or stride > window:
        raise InputError(
            f"window={window}, stride={stride} on images of {height} × {width}",
            "stride <= window <= the image's shorter side",
            "Leave them out for an eighth of the image and half of the window",
        )
    places = [
        (..., slice(top, top + window), slice(left, left + window))
        for top, left in product(_starts(height, window, stride), _starts(width, window, stride))
    ]
    with evaluating(model):
        logits = logits_of(model, images)
        targets = settled(targets, logits)
        whole, cover = scores(logits, targets), as_images(baseline, images)
        fall, times = torch.zeros_like(images[:, :1]), torch.zeros_like(images[:1, :1])
        for group in groups(places, max(1, at_once // len(images))):
            covered = images.repeat(len(group), 1, 1, 1)
            for copy, square in zip(torch.split(covered, len(images)), group, strict=True):
                copy[square] = cover[square]
            lower = scores(logits_of(model, covered), targets.repeat(len(group)))
            for square, score in zip(group, torch.split(lower, len(images)), strict=True):
                fall[square] += (whole - score)[:, None, None, None]
                times[square] += 1
    values = fall / times
    return Attribution(F.relu(values[:, 0]), values, targets, logits)


def _starts(length: int, window: int, stride: int) -> list[int]:
    return [stride * index for index in range(ceil((length - window) / stride) + 1)]
