"""Normalise on the device, the second half of the evaluation transform."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from residua._base.errors import InputError
from residua.data.preprocess.sending import to_device
from residua.specs.pixel_array import PixelArray
from residua.specs.preprocess import STD_EPSILON, PreprocessSpec, size_words

_CACHE_VALUES = 1 << 18
"""Values to normalise at a time: 1 MB of float32."""


def normalise(
    batch: torch.Tensor,
    spec: PreprocessSpec,
    *,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
) -> torch.Tensor:
    """Scale to [0, 1], subtract the mean, divide by the deviation: (B, 3, H, W) -> (B, 3, H, W) of `dtype`.

    What each image's own numbers decide comes before, and whitening after; see `PreprocessSpec`.

    Args:
        batch: uint8, or floating point in 0..255; the result stays on its device.
        channels_last: lay the result out channels-last; else contiguous.

    Raises:
        InputError: images of another size than the mean image, or the matrix that whitens, is for.
    """
    if spec.by_pixel and batch.shape[2:] != spec.size:
        raise InputError(
            f"images of {size_words((batch.shape[2], batch.shape[3]))} pixels with numbers for each pixel",
            f"{size_words(spec.size)} pixels, which {' and '.join(spec.arrays)} is for",
            "Give images of that size",
        )
    device = batch.device
    by_image = spec.image_center or spec.image_std
    white = 1 if by_image else 255
    scale = to_device(torch.tensor([1 / (white * deviation) for deviation in spec.std]), device)
    offset = _offset(spec, device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    out = torch.empty(batch.shape, dtype=dtype, device=device, memory_format=layout)
    # On a processor a few images at a time, so that the passes over them stay in its cache.
    count = max(1, _CACHE_VALUES // max(batch[:1].numel(), 1)) if device.type == "cpu" else max(len(batch), 1)
    for source, target in zip(torch.split(batch, count), torch.split(out, count), strict=True):
        values = target if dtype == torch.float32 else torch.empty_like(target, dtype=torch.float32)
        if channels_last:
            # Whole lines of pixels: an inner loop over three channels takes four times as long.
            lines, width = values.permute(0, 2, 3, 1).flatten(2), source.shape[3]
            lines.copy_(source.permute(0, 2, 3, 1).flatten(2))
            if by_image:
                _by_own_numbers(lines, spec)
            lines.mul_(scale.repeat(width)).add_(offset.expand(-1, width, -1).flatten(1))
        else:
            values.copy_(source)
            if by_image:
                _by_own_numbers(values, spec)
            values.mul_(scale.view(1, 3, 1, 1)).add_(offset.permute(2, 0, 1))
        if spec.whitening is not None:
            rows = values.permute(0, 2, 3, 1)
            rows.copy_((rows.flatten(1) @ _on_device(spec.whitening, device)).view(rows.shape))
        if values is not target:
            target.copy_(values)
    return out


def _offset(spec: PreprocessSpec, device: torch.device) -> torch.Tensor:
    """Return -mean / deviation: (H, W, 3) of a mean image, else (1, 1, 3)."""
    if spec.mean_image is None:
        return to_device(torch.tensor([[[-m / d for m, d in zip(spec.mean, spec.std, strict=True)]]]), device)
    return _on_device(spec.mean_image, device) / -torch.tensor(spec.std, device=device)


def _by_own_numbers(levels: torch.Tensor, spec: PreprocessSpec) -> None:
    """Scale levels (B, …) to [0, 1], then centre and divide each image by its own numbers, in place."""
    levels.mul_(1 / 255)
    dims = tuple(range(1, levels.ndim))
    if spec.image_center:
        levels.sub_(levels.mean(dims, keepdim=True))
    if spec.image_std:
        levels.div_(levels.std(dims, correction=0, keepdim=True) + STD_EPSILON)


@lru_cache(4)
def _on_device(array: PixelArray, device: torch.device) -> torch.Tensor:
    """Return the numbers as a tensor; a matrix that whitens is too large to be copied for every batch."""
    return torch.from_numpy(np.array(array.view())).to(device)
