"""The methods of explanation by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from residua._base.errors import InputError, did_you_mean
from residua.data.preprocess.normalise import normalise
from residua.explanation.activation_maps import grad_cam, grad_cam_plus_plus
from residua.explanation.attribution import Attribution, Method
from residua.explanation.input_gradients import integrated_gradients, smooth_grad
from residua.explanation.layers import WITHOUT_LAYERS
from residua.explanation.occlusion import occlusion
from residua.families.network import Classifier
from residua.specs.preprocess import PreprocessSpec

METHODS: dict[str, Method] = {
    "gradcam": grad_cam,
    "gradcam++": grad_cam_plus_plus,
    "integrated-gradients": integrated_gradients,
    "occlusion": occlusion,
    "smoothgrad": smooth_grad,
}


def attribute(
    name: str,
    model: Classifier,
    images: Tensor,
    preprocess: PreprocessSpec,
    targets: Tensor | None = None,
    layer: str | None = None,
) -> Attribution:
    """Explain a batch by the method of this name; integrated gradients start from the black image.

    Args:
        name: a key of `METHODS`.
        model: the network.
        images: (B, C, H, W), as the network sees them.
        preprocess: the transform that normalised them.
        targets: (B,) int64 classes; by default the predicted.
        layer: an end point, for the methods that weight one.

    Raises:
        InputError: as `check_method`, and as the method.
    """
    check_method(name, layer)
    options: dict[str, Any] = {"layer": layer} if name not in WITHOUT_LAYERS else {}
    if name == "integrated-gradients":
        options = {"baseline": black(preprocess).to(images)}
    method: Callable[..., Attribution] = METHODS[name]
    return method(model, images, targets, **options)


def attribute_each(
    name: str,
    model: Classifier,
    image: Tensor,
    preprocess: PreprocessSpec,
    targets: Sequence[int],
    layer: str | None = None,
    *,
    batch_size: int,
) -> Iterator[Attribution]:
    """Explain one image (1, C, H, W) for each of several classes; yield an attribution of one row for each.

    At most `batch_size` copies of the image pass through the network at once; the rest is as for `attribute`.

    Raises:
        InputError: as `attribute`.
    """
    for start in range(0, len(targets), batch_size):
        part = torch.tensor(targets[start : start + batch_size], device=image.device)
        copies = image.expand(len(part), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        yield from attribute(name, model, copies, preprocess, part, layer).rows()


def check_method(name: str, layer: str | None = None) -> None:
    """Refuse an unknown method, or a layer for a method that uses none.

    Raises:
        InputError: names it, and the nearest method.
    """
    if name not in METHODS:
        raise InputError(f"method={name!r}", f"one of {', '.join(METHODS)}", did_you_mean(name, METHODS))
    if layer is not None and name in WITHOUT_LAYERS:
        raise InputError(
            f"layer {layer!r} for {name}",
            "a layer only for gradcam or gradcam++: the other methods explain pixels, not feature maps",
            "Leave the layer out, or choose one of the two",
        )


def black(preprocess: PreprocessSpec) -> Tensor:
    """Return the colour black as the network sees it, (3, 1, 1), or (3, H, W) where it differs from pixel to pixel."""
    height, width = preprocess.size if preprocess.by_pixel else (1, 1)
    return normalise(torch.zeros(1, 3, height, width, dtype=torch.uint8), preprocess)[0]
