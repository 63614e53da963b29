"""Which input sizes a network takes: asked of the network itself, on the meta device."""

from __future__ import annotations

import functools
from typing import Any

import torch

from residua._base.errors import InputError
from residua.families.build import build
from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec

_LARGEST = 1024  # pixels; a network that takes nothing from a size up to here has a structural size


def takes(spec: Spec, size: int) -> bool:
    """Whether the network trains on square images of this side, pixels."""
    return _obstacle(spec, size) is None


def check_input(spec: Spec, size: int, option: str = "--image-size") -> None:
    """Refuse a side, pixels, that the network cannot be trained at.

    Args:
        spec: the network.
        size: the side asked for.
        option: what the user gave it by.

    Raises:
        InputError: names the nearest side that it takes.
    """
    if size < 1:
        raise InputError(f"images of {size} pixels", "a side of at least 1 pixel", f"Use {option} {spec.input_size}")
    if takes(spec, size):
        return
    near = nearest_size(spec, size)
    given = f"images of {size} pixels for {spec.name}"
    if takes(spec, near + 1):
        raise InputError(
            given,
            f"{near} pixels or more: of smaller images its layers leave nothing",
            f"Use {option} {near} (published for {_published(spec)}), or a network for small images such as "
            "cifar_resnet20",
        )
    raise InputError(
        given,
        f"exactly {near} pixels: its first layer has a weight for each of them",
        f"Use {option} {near}, or edit the network: input_size={size}",
    )


def check_network(network: Classifier, size: int, batch_size: int) -> None:
    """Refuse images, or batches, that `network` cannot be trained on, at the price of one image forward.

    Args:
        network: on its device; weights, statistics and mode stay as they are.
        size: side of the square images, pixels.
        batch_size: images that a training step runs forward at once.

    Raises:
        InputError: as `check_input`; or a batch of one leaves batch normalisation one value a channel, which has no
            variance.
    """
    spec, like, training = network.spec, next(network.parameters()), network.training
    image = torch.zeros(1, spec.in_channels, size, size, dtype=like.dtype, device=like.device)
    try:
        with torch.no_grad():
            network.eval()(image)
    except RuntimeError:
        # The meta device, which knows the nearest size, takes seconds to start: only a failure is worth them.
        check_input(spec, size)
        raise
    finally:
        network.train(training)
    if batch_size == 1 and _obstacle(spec, size, 1):
        raise InputError(
            f"batch_size=1 with images of {size} pixels for {spec.name}",
            "batches of two or more: somewhere an image leaves batch normalisation one value a channel, and one value "
            "has no variance",
            "Use --batch-size 2",
        )


def smallest_input(spec: Spec) -> int:
    """Return the smallest side, pixels, that the network trains at."""
    return nearest_size(spec, 1)


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
            if obstacle := _obstacle(spec, spec.input_size):
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
def _obstacle(spec: Any, size: int, batch_size: int = 2) -> str | None:
    with torch.device("meta"):
        # As in training: batch statistics need more than one value a channel, auxiliary heads their own room.
        network = build(spec).train()
        images = torch.empty(batch_size, spec.in_channels, size, size)
    try:
        with torch.no_grad():
            network(images)
    except (RuntimeError, ValueError) as error:
        return str(error)
    return None
