"""Weights of a network for grey images, turned into the same network for colour images, which is what images are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import counted
from residua.families.members import input_tensors
from residua.specs.preprocess import LUMA, PreprocessSpec
from residua.specs.schema import Spec


def spread_over_rgb(kernel: Tensor) -> Tensor:
    """Spread a kernel over one channel to R, G, B, so that it gives of a colour image what it gave of its luma.

    Shapes: (C_out, 1, kh, kw) -> (C_out, 3, kh, kw), or (C_out, k) -> (C_out, 3 · k) of a linear layer that reads the
    image channel by channel.
    """
    old = kernel.detach().reshape(len(kernel), 1, -1).double()
    new = old * torch.tensor(LUMA, dtype=torch.float64, device=kernel.device)[:, None]
    shape = (len(kernel), 3, *kernel.shape[2:]) if kernel.ndim > 2 else (len(kernel), -1)
    return new.to(kernel.dtype).reshape(shape).contiguous()


def for_rgb(source: str, spec: Spec, tensors: Mapping[str, Tensor]) -> tuple[Spec, dict[str, Tensor], str]:
    """Return a network that takes RGB images, with its tensors, and a note on what was done; "" where nothing was.

    Raises:
        InputError: a network for neither one channel nor three: images have R, G and B alone.
    """
    if spec.in_channels == 3:
        return spec, dict(tensors), ""
    if spec.in_channels != 1:
        raise InputError(
            f"{source} holds a {spec.name} for {counted(spec.in_channels, 'channel')}",
            "a network for RGB images, or for grey ones: 3 channels or 1",
            f"Fit its first kernel to RGB: create_model({spec.name!r}, in_channels=3, weights=FILE)",
        )
    fitted = dict(tensors)
    for name in input_tensors(spec):
        fitted[name] = spread_over_rgb(tensors[name])
    weights = ", ".join(map(str, LUMA))
    return (
        spec.edit(in_channels=3),
        fitted,
        f"The first kernel takes grey images: it was spread over R, G and B by {weights} (ITU-R BT.601), so that the "
        "network sees the luma of an image.",
    )


def luma_of(preprocess: PreprocessSpec) -> PreprocessSpec:
    """Return the transform whose mean and deviation are alike in R, G and B, as those of a grey image are."""
    mean, std = (
        sum(share * value for share, value in zip(LUMA, values, strict=True)) if len(set(values)) > 1 else values[0]
        for values in (preprocess.mean, preprocess.std)
    )
    return replace(preprocess, mean=(mean,) * 3, std=(std,) * 3)
