"""Which input sizes a network takes: asked of the network itself, on the meta device."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua._base.words import counted
from residua.families.build import build
from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.specs.resnet import ResNetSpec
from residua.specs.schema import Spec

_PHOTO_REDUCTION = 16  # the networks of ImageNet have 32, those of CIFAR 4 or 8
_LARGEST = 1024  # pixels; a network that takes nothing from a size up to here has a structural size


def takes(spec: Spec, size: int) -> bool:
    """Return whether the network trains on square images of this side, pixels."""
    return _obstacle(spec, size, size) is None


def spec_for(spec: Spec, preprocess: PreprocessSpec) -> Spec:
    """Return the network for the images of a transform: of squares its input size is their side.

    A network that takes oblong images too keeps its own input size, which is a number.

    Raises:
        InputError: images that it does not take; names the nearest size.
    """
    if not preprocess.is_square:
        _check_oblong(spec, *preprocess.size)
        return spec
    if preprocess.side == spec.input_size:
        return spec
    check_input(spec, preprocess.side)
    return spec.edit(input_size=preprocess.side)


def check_input(spec: Spec, size: int, field: str = "image_size") -> None:
    """Refuse a side, pixels, that the network cannot be trained at.

    Args:
        spec: the network.
        size: the side asked for.
        field: the argument that gave it.

    Raises:
        InputError: names the nearest side that it takes.
    """
    if size < 1:
        raise InputError(f"images of {size} pixels", "a side of at least 1 pixel", f"Use {field}={spec.input_size}")
    if takes(spec, size):
        return
    near = nearest_size(spec, size)
    subject = f"images of {counted(size, 'pixel')} for {spec.name}"
    if takes(spec, near + 1):
        raise InputError(
            subject,
            f"{near} pixels or more: of smaller images its layers leave nothing",
            f"Use {field}={near} (published for {_published(spec)}), or a network for small images such as "
            "cifar_resnet20",
        )
    raise InputError(
        subject,
        f"exactly {near} pixels: its first layer has a weight for each of them",
        f"Use {field}={near}, or edit the network: input_size={size}",
    )


def _check_oblong(spec: Spec, height: int, width: int) -> None:
    if _obstacle(spec, height, width) is None:
        return
    near = nearest_size(spec, min(height, width))
    wanted = f"both sides of {near} pixels or more" if takes(spec, near + 1) else f"exactly {near} × {near} pixels"
    raise InputError(
        f"images of {height} × {width} pixels for {spec.name}", wanted, "Use a network that takes images of any size"
    )


@functools.lru_cache(maxsize=1024)
def reduction(spec: Any) -> int:
    """Return how many pixels of the image, by side, one pixel of the network's features stands for; 1 for vectors.

    32 for the residual networks of ImageNet, 4 for those of CIFAR.
    """
    if isinstance(spec, ResNetSpec):
        return spec.own_stride  # known without building the network
    network, images = _on_meta(spec, spec.input_size, spec.input_size, 2)
    with torch.no_grad():
        features = network.forward_features(images)
    return round(spec.input_size / features.shape[-1]) if features.ndim == 4 else 1


def is_for_photos(spec: Spec) -> bool:
    """Return whether a network is one for photos: by its own resolutions, and not by the size that it is given."""
    return reduction(spec) >= _PHOTO_REDUCTION


def check_batch(spec: Spec, size: int, batch_size: int, hold: Callable[[nn.Module], None] = lambda _: None) -> None:
    """Refuse a batch of one where it leaves batch normalisation one value a channel, which has no variance.

    Args:
        spec: the network.
        size: side of the square images, pixels; one that the network takes.
        batch_size: images that a training step runs forward at once.
        hold: puts the parts that do not learn into eval mode, where statistics are not the batch's.

    Raises:
        InputError: names the smallest batch that can be trained on.
    """
    if batch_size > 1:
        return
    network, image = _on_meta(spec, size, size, batch_size)
    hold(network)
    try:
        with torch.no_grad():
            network(image)
    except ValueError as error:  # batch normalisation's own, of one value a channel
        raise InputError(
            f"batch_size={batch_size} with images of {size} pixels for {spec.name}",
            "batches of two or more: somewhere an image leaves batch normalisation one value a channel, and one value "
            "has no variance",
            "Use batch_size=2",
        ) from error


def nearest_size(spec: Spec, size: int) -> int:
    """Return the side nearest to `size`, pixels, that the network takes.

    A network that takes a side takes every larger one, unless its size is structural: then its own is returned.

    Raises:
        RuntimeError: it takes nothing, not even its own size.
    """
    low, high = 0, size
    while not takes(spec, high):
        low, high = high, 2 * high
        if high > _LARGEST:
            if obstacle := _obstacle(spec, spec.input_size, spec.input_size):
                raise RuntimeError(f"{spec.name} does not take its own {spec.input_size} pixels: {obstacle}")
            return spec.input_size
    while high > size and high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(spec, middle) else (middle, high)
    return high


def _published(spec: Spec) -> int:
    """Return the input size of the catalog's row, which training replaces by the images'."""
    try:
        return get_spec(spec.name).input_size
    except InputError:  # a name of the user's own
        return spec.input_size


@functools.lru_cache(maxsize=1024)
def _obstacle(spec: Any, height: int, width: int) -> str | None:
    # As in training: batch statistics need more than one value a channel, auxiliary heads their own room.
    network, images = _on_meta(spec, height, width, 2)
    try:
        with torch.no_grad():
            network(images)
    except (RuntimeError, ValueError) as error:
        return str(error)
    return None


def _on_meta(spec: Spec, height: int, width: int, batch_size: int) -> tuple[Classifier, Tensor]:
    """Build the network in training mode, and images for it: shapes without values."""
    with torch.device("meta"):
        return build(spec).train(), torch.empty(batch_size, spec.in_channels, height, width)
